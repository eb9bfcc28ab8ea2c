//! What can go wrong, in the words of Go.

/// Why a template was refused or stopped. The texts are those of Go's `text/template`, so a caller may print them after
/// `template parsing error: ` as docker does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is not a template.
    #[error("template: :{line}: {message}")]
    Parse {
        /// Line of the last token read, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The template is fine, but not for this data.
    #[error(
        "template: :{line}:{column}: executing {} at <{context}>: {message}",
        crate::quote::quote(template)
    )]
    Execute {
        /// Name of the template that was executing; empty for the outermost.
        template: String,
        /// Line of `context`, from 1.
        line: usize,
        /// Bytes before `context` on its line.
        column: usize,
        /// The part of the template that failed.
        context: String,
        /// What is wrong with it.
        message: String,
    },
    /// The data itself cannot be rendered.
    #[error("template: : {0}")]
    Data(String),
}

//! Docker's formats for lists: `table {{.ID}}\t{{.Names}}`, `{{.ID}}`, `json`.

use serde_json::{Map, Value as Json};

use crate::{error::TemplateError, limits, tab_writer, template::Template};

/// The format of a list: one line a row, with `table` in front a header and aligned columns.
#[derive(Debug, Clone)]
pub struct Table {
    template: Template,
    is_aligned: bool,
}

impl Table {
    /// Reads a format. `\t` and `\n` typed as two characters stand for a tab and a newline; `json` stands for
    /// `{{json .}}`. A bare `table`, for which docker has columns for each kind of list, is the caller's to replace.
    pub fn parse(format: &str) -> Result<Self, TemplateError> {
        let (is_aligned, text) = match format.strip_prefix("table") {
            Some(rest) => (true, rest),
            None if format == "json" => (false, "{{json .}}"),
            None => (false, format),
        };
        let text = text
            .trim_matches(' ')
            .replace("\\t", "\t")
            .replace("\\n", "\n");
        Ok(Self {
            template: Template::parse(&text)?,
            is_aligned,
        })
    }

    /// Whether there is a header and columns are aligned.
    pub fn is_aligned(&self) -> bool {
        self.is_aligned
    }

    /// The whole list, each row ending in a newline. `headers` has the header text of each field a row may have.
    ///
    /// A field without header text shows `<no value>` there, as docker does.
    pub fn render<'r>(
        &self,
        headers: &Map<String, Json>,
        rows: impl IntoIterator<Item = &'r Json>,
    ) -> Result<String, TemplateError> {
        let mut out = String::new();
        if self.is_aligned {
            out.push_str(&self.template.render_header(&Json::Object(headers.clone())));
            out.push('\n');
        }
        for row in rows {
            out.push_str(&self.template.render(row)?);
            out.push('\n');
            if out.len() > limits::OUTPUT_BYTES {
                return Err(too_long());
            }
        }
        if self.is_aligned {
            tab_writer::align(&out, limits::OUTPUT_BYTES).ok_or_else(too_long)
        } else {
            Ok(out)
        }
    }
}

fn too_long() -> TemplateError {
    TemplateError::Data(format!(
        "output has more than {} bytes",
        limits::OUTPUT_BYTES
    ))
}

//! A parsed template.

use serde_json::Value as Json;

use crate::{
    error::TemplateError,
    executor::{Executor, Place},
    limits,
    parser::{self, Definitions},
    value::Value,
};

/// What a field gives that the data does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// An error: as for the structures docker prints, and as `docker inspect` asks for with `missingkey=error`.
    #[default]
    Error,
    /// `<no value>`: what Go does for maps by default.
    NoValue,
}

/// A template, parsed once and rendered as often as needed.
///
/// ```
/// let template = shedbox_template::Template::parse("{{.State.Status}}")?;
/// let data = serde_json::json!({"State": {"Status": "running"}});
/// assert_eq!(template.render(&data)?, "running");
/// # Ok::<(), shedbox_template::TemplateError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    definitions: Definitions,
    missing_key: MissingKey,
}

impl Template {
    /// Reads a template. Errors are those of Go's parser.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let definitions = parser::parse(text)?;
        Ok(Self {
            text: text.to_owned(),
            definitions,
            missing_key: MissingKey::default(),
        })
    }

    /// The same template with another rule for missing fields.
    #[must_use]
    pub fn with_missing_key(mut self, missing_key: MissingKey) -> Self {
        self.missing_key = missing_key;
        self
    }

    /// The text of the template for `data`.
    ///
    /// Fails where Go would, and when the result, the work or the nesting of the data is beyond what an honest
    /// template needs.
    pub fn render(&self, data: &Json) -> Result<String, TemplateError> {
        if limits::is_deeper_than(data, limits::DATA_DEPTH) {
            return Err(TemplateError::Data(format!(
                "data is nested deeper than {} levels",
                limits::DATA_DEPTH
            )));
        }
        let (out, result) = self.execute(data, self.missing_key, false);
        result.map(|()| out)
    }

    /// The header row of a table: as docker, without its errors and with functions that keep the names of columns.
    pub(crate) fn render_header(&self, headers: &Json) -> String {
        self.execute(headers, MissingKey::NoValue, true).0
    }

    fn execute(
        &self,
        data: &Json,
        missing_key: MissingKey,
        is_header: bool,
    ) -> (String, Result<(), TemplateError>) {
        let mut executor = Executor {
            text: &self.text,
            definitions: &self.definitions,
            missing_key,
            is_header,
            template: "",
            variables: Vec::new(),
            place: Place::Start,
            out: String::new(),
            depth: 0,
            steps: 0,
        };
        let result = executor.run(Value::Interface(data).concrete());
        (executor.out, result)
    }
}

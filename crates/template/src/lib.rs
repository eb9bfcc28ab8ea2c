//! The language of docker's and podman's `--format`: Go's `text/template` over JSON values.
//!
//! 1. `lexer` cuts the text into tokens    2. `parser` and `pipeline_parser` make bodies and pipelines of them
//! 3. `executor` walks the bodies    4. `evaluator` finds the values of pipelines    5. `call` runs the functions
//!
//! Texts, numbers and messages follow Go 1.24 and docker 28.2, whose answers are in the tests. Differences:
//!
//! - numbers of the data are numbers, as in docker's structures; floats among them print without exponent
//! - `join` takes any list of texts, and a field that is an object takes a key: `.Label "name"`
//! - texts are UTF-8: bytes cut out of a character become U+FFFD
//! - there are no complex numbers and no hexadecimal or binary notation of floats
//! - nesting, work and output are bounded (`limits`)

mod call;
mod collection;
mod compare;
mod error;
mod escape;
mod evaluator;
mod executor;
mod float;
mod format_value;
mod function;
mod json;
mod lexer;
mod limits;
mod number;
mod parser;
mod pipeline_parser;
mod printf;
mod quote;
mod syntax;
mod tab_writer;
mod table;
mod template;
mod text_function;
mod token;
mod value;
mod verb;

pub use error::TemplateError;
pub use table::Table;
pub use template::{MissingKey, Template};

//! What the parser makes of a template. `Display` gives the text that messages quote.

use std::{fmt, sync::Arc};

use crate::{function::Function, quote};

pub(crate) type List = Vec<Node>;

/// A piece of a template body.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Text(String),
    Action(Pipe),
    /// `if` and `with`: the first branch whose pipeline is true runs.
    Choice {
        kind: Choice,
        branches: Vec<(Pipe, List)>,
        otherwise: List,
    },
    Range {
        pipe: Pipe,
        body: List,
        otherwise: List,
    },
    Call(TemplateCall),
    Break,
    Continue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    If,
    With,
}

/// `{{template "name" pipeline}}`
#[derive(Debug, Clone)]
pub(crate) struct TemplateCall {
    pub(crate) position: usize,
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
}

/// Commands, each giving its value to the next as last argument.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipe {
    pub(crate) position: usize,
    /// Names with `$`.
    pub(crate) variables: Vec<String>,
    /// `=`, not `:=`.
    pub(crate) is_assignment: bool,
    pub(crate) commands: Vec<Command>,
}

/// An operand, or a function and its arguments. Never empty.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) position: usize,
    pub(crate) first: Operand,
    pub(crate) arguments: Vec<Operand>,
}

#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub(crate) position: usize,
    pub(crate) kind: OperandKind,
}

#[derive(Debug, Clone)]
pub(crate) enum OperandKind {
    Bool(bool),
    Dot,
    Nil,
    Number(Number),
    Text {
        literal: String,
        text: Arc<str>,
    },
    Field(Vec<String>),
    Variable {
        name: String,
        fields: Vec<String>,
    },
    Function(Function),
    Pipe(Pipe),
    /// Fields of a parenthesised pipeline or of a function's value.
    Chain {
        of: Box<Operand>,
        fields: Vec<String>,
    },
}

/// A number literal: what it can be depends on where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    pub(crate) literal: String,
    pub(crate) integer: Option<i64>,
    /// Only when the literal is written as a float.
    pub(crate) float: Option<f64>,
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(
                f,
                "{} {} ",
                self.variables.join(", "),
                if self.is_assignment { "=" } else { ":=" }
            )?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            let separator = if index == 0 { "" } else { " | " };
            write!(f, "{separator}{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        for argument in &self.arguments {
            write!(f, " {argument}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = match &self.kind {
            OperandKind::Bool(value) => return write!(f, "{value}"),
            OperandKind::Dot => return f.write_str("."),
            OperandKind::Nil => return f.write_str("nil"),
            OperandKind::Number(number) => return f.write_str(&number.literal),
            OperandKind::Text { literal, .. } => return f.write_str(literal),
            OperandKind::Function(function) => return f.write_str(function.name()),
            OperandKind::Pipe(pipe) => return write!(f, "({pipe})"),
            OperandKind::Field(fields) => fields,
            OperandKind::Variable { name, fields } => {
                f.write_str(name)?;
                fields
            }
            OperandKind::Chain { of, fields } => {
                write!(f, "{of}")?;
                fields
            }
        };
        fields.iter().try_for_each(|field| write!(f, ".{field}"))
    }
}

impl fmt::Display for TemplateCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", quote::quote(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}

/// Whether a body has nothing but white space: such a definition gives way to another of its name.
pub(crate) fn is_blank(list: &[Node]) -> bool {
    list.iter()
        .all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

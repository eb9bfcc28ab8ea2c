//! Bodies: text, actions and control structures. Pipelines are in [`crate::evaluator`].

use std::fmt::Display;

use crate::{
    error::TemplateError,
    format_value, limits,
    parser::Definitions,
    syntax::{Choice, Command, Node, Operand, Pipe, TemplateCall},
    template::MissingKey,
    value::{Text, Value},
};

/// What a body asks of the loop around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    On,
    Break,
    Continue,
}

/// The part of a template being evaluated, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    Start,
    Pipe(&'a Pipe),
    Command(&'a Command),
    Operand(&'a Operand),
    Call(&'a TemplateCall),
}

/// One execution of a template. Data, template and values made of them live for `'a`.
pub(crate) struct Executor<'a> {
    pub(crate) text: &'a str,
    pub(crate) definitions: &'a Definitions,
    pub(crate) missing_key: MissingKey,
    /// Whether this renders the header of a table: functions keep the names of columns as they are.
    pub(crate) is_header: bool,
    pub(crate) template: &'a str,
    pub(crate) variables: Vec<(&'a str, Value<'a>)>,
    pub(crate) place: Place<'a>,
    pub(crate) out: String,
    pub(crate) depth: usize,
    pub(crate) steps: usize,
}

impl<'a> Executor<'a> {
    /// Executes the outermost template; what it wrote is in `out`, also after an error.
    pub(crate) fn run(&mut self, data: Value<'a>) -> Result<(), TemplateError> {
        let Some(body) = self.definitions.get("") else {
            return Ok(());
        };
        self.variables.push(("$", data.clone()));
        self.body(&data, body).map(|_| ())
    }

    fn body(&mut self, dot: &Value<'a>, body: &'a [Node]) -> Result<Flow, TemplateError> {
        self.enter()?;
        let mut flow = Flow::On;
        for node in body {
            flow = self.node(dot, node)?;
            if flow != Flow::On {
                break;
            }
        }
        self.depth -= 1;
        Ok(flow)
    }

    fn node(&mut self, dot: &Value<'a>, node: &'a Node) -> Result<Flow, TemplateError> {
        self.step(1)?;
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Action(pipe) => {
                let value = self.pipeline(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.write(&format_value::printable(&value))?;
                }
            }
            Node::Choice {
                kind,
                branches,
                otherwise,
            } => return self.choice(dot, *kind, branches, otherwise),
            Node::Range {
                pipe,
                body,
                otherwise,
            } => return self.range(dot, pipe, body, otherwise),
            Node::Call(call) => self.call_template(dot, call)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn choice(
        &mut self,
        dot: &Value<'a>,
        kind: Choice,
        branches: &'a [(Pipe, Vec<Node>)],
        otherwise: &'a [Node],
    ) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        for (pipe, body) in branches {
            let value = self.pipeline(dot, pipe)?;
            if value.is_true() {
                let inner = if kind == Choice::With { &value } else { dot };
                let flow = self.body(inner, body)?;
                self.variables.truncate(scope);
                return Ok(flow);
            }
        }
        let flow = self.body(dot, otherwise)?;
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(
        &mut self,
        dot: &Value<'a>,
        pipe: &'a Pipe,
        body: &'a [Node],
        otherwise: &'a [Node],
    ) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let value = self.pipeline(dot, pipe)?;
        if matches!(value, Value::Int(_) | Value::Uint(_)) && pipe.variables.len() > 1 {
            let shown = format_value::plain(&value);
            return Err(self.fail(format!(
                "can't use {shown} to iterate over more than one variable"
            )));
        }
        let mut is_empty = true;
        for (index, element) in elements(&value).map_err(|message| self.fail(message))? {
            is_empty = false;
            self.step(1)?;
            self.set_loop_variables(pipe, index, element.clone())?;
            let inner_scope = self.variables.len();
            let flow = self.body(&element, body)?;
            self.variables.truncate(inner_scope);
            if flow == Flow::Break {
                break;
            }
        }
        let flow = if is_empty {
            self.body(dot, otherwise)?
        } else {
            Flow::On
        };
        self.variables.truncate(scope);
        Ok(flow)
    }

    /// The pipeline has declared the variables already; each turn overwrites them.
    fn set_loop_variables(
        &mut self,
        pipe: &'a Pipe,
        index: Value<'a>,
        element: Value<'a>,
    ) -> Result<(), TemplateError> {
        match pipe.variables.as_slice() {
            [only] => self.set_variable(only, element),
            [first, second] => {
                self.set_variable(second, element)?;
                self.set_variable(first, index)
            }
            _ => Ok(()),
        }
    }

    /// Overwrites the innermost variable of a name.
    pub(crate) fn set_variable(
        &mut self,
        name: &str,
        value: Value<'a>,
    ) -> Result<(), TemplateError> {
        match self
            .variables
            .iter_mut()
            .rev()
            .find(|(other, _)| *other == name)
        {
            Some((_, place)) => {
                *place = value;
                Ok(())
            }
            None => Err(self.fail(format!("undefined variable: {name}"))),
        }
    }

    fn call_template(
        &mut self,
        dot: &Value<'a>,
        call: &'a TemplateCall,
    ) -> Result<(), TemplateError> {
        self.place = Place::Call(call);
        let definitions = self.definitions;
        let Some((name, body)) = definitions.get_key_value(&call.name) else {
            return Err(self.fail(format!(
                "template {} not defined",
                crate::quote::quote(&call.name)
            )));
        };
        let dot = match &call.pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Missing,
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let caller = std::mem::replace(&mut self.template, name);
        self.body(&dot, body)?;
        self.template = caller;
        self.variables = variables;
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), TemplateError> {
        if self.out.len().saturating_add(text.len()) > limits::OUTPUT_BYTES {
            return Err(self.fail(format!(
                "output has more than {} bytes",
                limits::OUTPUT_BYTES
            )));
        }
        self.out.push_str(text);
        Ok(())
    }

    /// Counts one more level of bodies and pipelines; the caller counts it off.
    pub(crate) fn enter(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > limits::EXECUTION_DEPTH {
            return Err(self.fail(format!(
                "exceeded maximum template depth ({})",
                limits::EXECUTION_DEPTH
            )));
        }
        Ok(())
    }

    /// Counts work.
    pub(crate) fn step(&mut self, count: usize) -> Result<(), TemplateError> {
        self.steps = self.steps.saturating_add(count);
        if self.steps > limits::STEPS {
            return Err(self.fail(format!("exceeded maximum of {} steps", limits::STEPS)));
        }
        Ok(())
    }

    /// An error at the current place.
    pub(crate) fn fail(&self, message: impl Into<String>) -> TemplateError {
        let (position, context): (_, &dyn Display) = match self.place {
            Place::Start => (0, &""),
            Place::Pipe(pipe) => (pipe.position, pipe),
            Place::Command(command) => (command.position, command),
            Place::Operand(operand) => (operand.position, operand),
            Place::Call(call) => (call.position, call),
        };
        let before = self.text.get(..position).unwrap_or_default();
        TemplateError::Execute {
            template: self.template.to_owned(),
            line: 1 + before.matches('\n').count(),
            column: before.len() - before.rfind('\n').map_or(0, |newline| newline + 1),
            context: context.to_string(),
            message: message.into(),
        }
    }
}

/// What `range` goes through: index and element.
fn elements<'v, 'a: 'v>(
    value: &'v Value<'a>,
) -> Result<Box<dyn Iterator<Item = (Value<'a>, Value<'a>)> + 'v>, String> {
    Ok(match value {
        // Nothing is likely a nil list.
        Value::Missing => Box::new(std::iter::empty()),
        Value::List(items) => Box::new(
            items
                .iter()
                .enumerate()
                .map(|(index, item)| (Value::count(index), Value::Interface(item))),
        ),
        Value::Texts(items) => Box::new(
            items
                .iter()
                .enumerate()
                .map(|(index, item)| (Value::count(index), Value::text(item.as_str()))),
        ),
        Value::Map(map) => Box::new(
            map.iter()
                .map(|(key, item)| (Value::Text(Text::Borrowed(key)), Value::Interface(item))),
        ),
        Value::Int(count) => {
            Box::new((0..*count).map(|index| (Value::Int(index), Value::Int(index))))
        }
        Value::Uint(count) => {
            Box::new((0..*count).map(|index| (Value::Uint(index), Value::Uint(index))))
        }
        other => {
            return Err(format!(
                "range can't iterate over {}",
                format_value::printable(other)
            ));
        }
    })
}

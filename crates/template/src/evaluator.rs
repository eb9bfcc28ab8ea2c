//! Pipelines, commands and operands: their values.

use serde_json::Value as Json;

use crate::{
    call,
    error::TemplateError,
    executor::{Executor, Place},
    format_value,
    function::{Function, Parameter},
    syntax::{Command, Number, Operand, OperandKind, Pipe},
    template::MissingKey,
    value::{Text, Value},
};

impl<'a> Executor<'a> {
    /// The value of a pipeline; declares and assigns its variables.
    pub(crate) fn pipeline(
        &mut self,
        dot: &Value<'a>,
        pipe: &'a Pipe,
    ) -> Result<Value<'a>, TemplateError> {
        self.place = Place::Pipe(pipe);
        self.enter()?;
        self.step(1)?;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?.concrete());
        }
        let value = value.unwrap_or(Value::Missing);
        for name in &pipe.variables {
            if pipe.is_assignment {
                self.set_variable(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        self.depth -= 1;
        Ok(value)
    }

    /// The value of a command; `last` is what the command before it in the pipeline gave.
    fn command(
        &mut self,
        dot: &Value<'a>,
        command: &'a Command,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        let first = &command.first;
        let arguments = command.arguments.as_slice();
        if let OperandKind::Function(function) = first.kind {
            self.place = Place::Operand(first);
            return self.call(dot, function, arguments, last, Place::Command(command));
        }
        self.step(1)?;
        // Of a parenthesised pipeline Go remembers only what is in it.
        if !matches!(first.kind, OperandKind::Pipe(_)) {
            self.place = Place::Operand(first);
        }
        let chain = match &first.kind {
            OperandKind::Field(fields) => Some((dot.clone(), fields)),
            OperandKind::Variable { name, fields } if !fields.is_empty() => {
                Some((self.variable(name)?, fields))
            }
            OperandKind::Chain { of, fields } => Some((self.argument(dot, of)?, fields)),
            _ => None,
        };
        if let Some((receiver, fields)) = chain {
            return self.fields(dot, receiver, fields, arguments, last);
        }
        if !arguments.is_empty() || last.is_some() {
            let shown = match &first.kind {
                OperandKind::Pipe(pipe) => pipe.to_string(),
                _ => first.to_string(),
            };
            return Err(self.fail(format!("can't give argument to non-function {shown}")));
        }
        if matches!(first.kind, OperandKind::Nil) {
            return Err(self.fail("nil is not a command"));
        }
        self.argument(dot, first)
    }

    /// The value of an operand without arguments of its own.
    fn argument(
        &mut self,
        dot: &Value<'a>,
        operand: &'a Operand,
    ) -> Result<Value<'a>, TemplateError> {
        self.step(1)?;
        self.place = Place::Operand(operand);
        match &operand.kind {
            OperandKind::Bool(value) => Ok(Value::Bool(*value)),
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Ok(Value::Nil),
            OperandKind::Number(number) => self.number(number),
            OperandKind::Text { text, .. } => Ok(Value::Text(Text::Borrowed(text))),
            OperandKind::Field(fields) => self.fields(dot, dot.clone(), fields, &[], None),
            OperandKind::Variable { name, fields } => {
                let value = self.variable(name)?;
                self.fields(dot, value, fields, &[], None)
            }
            OperandKind::Function(function) => {
                self.call(dot, *function, &[], None, Place::Operand(operand))
            }
            OperandKind::Pipe(pipe) => self.pipeline(dot, pipe),
            OperandKind::Chain { of, fields } => {
                let value = self.argument(dot, of)?;
                self.fields(dot, value, fields, &[], None)
            }
        }
    }

    fn number(&self, number: &Number) -> Result<Value<'a>, TemplateError> {
        match (number.float, number.integer) {
            (Some(value), _) => Ok(Value::Float(value)),
            (None, Some(value)) => Ok(Value::Int(value)),
            (None, None) => Err(self.fail(format!("{} overflows int", number.literal))),
        }
    }

    fn variable(&self, name: &str) -> Result<Value<'a>, TemplateError> {
        let found = self
            .variables
            .iter()
            .rev()
            .find(|(other, _)| *other == name);
        found
            .map(|(_, value)| value.clone())
            .ok_or_else(|| self.fail(format!("undefined variable: {name}")))
    }

    /// `receiver.A.B`, where only `B` may have arguments.
    fn fields(
        &mut self,
        dot: &Value<'a>,
        receiver: Value<'a>,
        names: &'a [String],
        arguments: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        let mut value = receiver;
        for (index, name) in names.iter().enumerate() {
            let has_arguments =
                index + 1 == names.len() && (!arguments.is_empty() || last.is_some());
            value = if has_arguments {
                self.method(dot, &value, name, arguments, last.clone())?
            } else {
                self.field(value, name)?
            };
        }
        Ok(value)
    }

    fn field(&self, receiver: Value<'a>, name: &str) -> Result<Value<'a>, TemplateError> {
        let type_name = receiver.type_name();
        if receiver.is_nil_interface() {
            return Err(self.fail(format!("nil pointer evaluating interface {{}}.{name}")));
        }
        match (receiver.concrete(), self.missing_key) {
            (Value::Missing, MissingKey::NoValue) => Ok(Value::Missing),
            (Value::Missing, MissingKey::Error) => Err(self.fail(format!(
                "nil data; no entry for key {}",
                crate::quote::quote(name)
            ))),
            (Value::Map(map), missing_key) => match map.get(name) {
                Some(value) => Ok(Value::Interface(value)),
                None if missing_key == MissingKey::NoValue => Ok(Value::Missing),
                None => Err(self.fail(format!(
                    "map has no entry for key {}",
                    crate::quote::quote(name)
                ))),
            },
            _ => Err(self.fail(format!("can't evaluate field {name} in type {type_name}"))),
        }
    }

    /// `.Label "name"`: the lists of docker have methods that look up a key. Here a field that is an object looks it
    /// up, and the header of the column is the last part of the key.
    fn method(
        &mut self,
        dot: &Value<'a>,
        receiver: &Value<'a>,
        name: &str,
        arguments: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        let Value::Map(map) = receiver.clone().concrete() else {
            return self.field(receiver.clone(), name);
        };
        let object = map.get(name).and_then(Json::as_object);
        let not_a_method = self.fail(format!("{name} is not a method but has arguments"));
        if object.is_none() && !self.is_header {
            return Err(not_a_method);
        }
        let key = match (arguments, last) {
            ([], Some(key)) => key,
            ([key], None) => self.argument(dot, key)?.concrete(),
            _ => return Err(not_a_method),
        };
        match (&key, object) {
            (Value::Text(key), _) if self.is_header => {
                let word = key.rsplit('.').next().unwrap_or_default();
                Ok(Value::text(word.replace(['-', '_'], " ")))
            }
            (Value::Text(key), Some(object)) => Ok(object
                .get(&**key)
                .map_or(Value::Text(Text::Borrowed("")), Value::Interface)),
            _ => Err(not_a_method),
        }
    }

    fn call(
        &mut self,
        dot: &Value<'a>,
        function: Function,
        arguments: &'a [Operand],
        last: Option<Value<'a>>,
        caller: Place<'a>,
    ) -> Result<Value<'a>, TemplateError> {
        self.step(1)?;
        self.check_count(function, arguments.len(), last.is_some())?;
        if matches!(function, Function::And | Function::Or) {
            return self.call_lazily(dot, function, arguments, last);
        }
        let fixed = function.signature().fixed;
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for (index, argument) in arguments.iter().enumerate() {
            let parameter = fixed.get(index).copied().unwrap_or(Parameter::Any);
            values.push(self.typed_argument(dot, argument, parameter)?);
        }
        if let Some(last) = last {
            let parameter = fixed.get(values.len()).copied().unwrap_or(Parameter::Any);
            values.push(self.checked(last, parameter)?);
        }
        if self.is_header && function.keeps_headers() {
            return Ok(values.into_iter().next().unwrap_or(Value::Missing));
        }
        let work: usize = values.iter().map(Value::reading_steps).sum();
        self.step(work)?;
        // Only its message has the argument as the template has it.
        let source = match arguments.first() {
            _ if function != Function::Call => String::new(),
            Some(Operand {
                kind: OperandKind::Pipe(pipe),
                ..
            }) => pipe.to_string(),
            Some(operand) => operand.to_string(),
            None => values
                .first()
                .map(format_value::printable)
                .unwrap_or_default(),
        };
        let result = call::call(function, &values, &source);
        if let Ok(value) = &result {
            self.step(value.making_steps())?;
        }
        result.map_err(|message| {
            self.place = caller;
            self.fail(format!("error calling {}: {message}", function.name()))
        })
    }

    fn check_count(
        &self,
        function: Function,
        count: usize,
        has_last: bool,
    ) -> Result<(), TemplateError> {
        let signature = function.signature();
        let wanted = signature.fixed.len();
        let all = count + usize::from(has_last);
        if signature.is_variadic && all < wanted {
            Err(self.fail(format!(
                "wrong number of args for {}: want at least {wanted} got {count}",
                function.name()
            )))
        } else if !signature.is_variadic && all != wanted {
            Err(self.fail(format!(
                "wrong number of args for {}: want {wanted} got {all}",
                function.name()
            )))
        } else {
            Ok(())
        }
    }

    /// `and` and `or` do not evaluate arguments after the one that decides.
    fn call_lazily(
        &mut self,
        dot: &Value<'a>,
        function: Function,
        arguments: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        let mut value = Value::Missing;
        for argument in arguments {
            value = self.argument(dot, argument)?;
            if value.is_true() == (function == Function::Or) {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn typed_argument(
        &mut self,
        dot: &Value<'a>,
        argument: &'a Operand,
        parameter: Parameter,
    ) -> Result<Value<'a>, TemplateError> {
        self.place = Place::Operand(argument);
        match (&argument.kind, parameter) {
            (_, Parameter::Any) | (OperandKind::Text { .. }, Parameter::Text) => {
                self.argument(dot, argument)
            }
            (
                OperandKind::Number(Number {
                    integer: Some(value),
                    ..
                }),
                Parameter::Integer,
            ) => Ok(Value::Int(*value)),
            (OperandKind::Nil, Parameter::Texts) => Ok(Value::Texts(std::sync::Arc::from([]))),
            (OperandKind::Nil, _) => {
                Err(self.fail(format!("cannot assign nil to {}", parameter.type_name())))
            }
            (OperandKind::Bool(_) | OperandKind::Number(_) | OperandKind::Text { .. }, _) => {
                Err(self.fail(match parameter {
                    Parameter::Integer => format!("expected integer; found {argument}"),
                    Parameter::Texts => format!("can't handle {argument} for arg of type []string"),
                    Parameter::Text | Parameter::Any => {
                        format!("expected string; found {argument}")
                    }
                }))
            }
            _ => {
                let value = self.argument(dot, argument)?;
                self.checked(value, parameter)
            }
        }
    }

    /// The value, when a parameter takes it.
    fn checked(&self, value: Value<'a>, parameter: Parameter) -> Result<Value<'a>, TemplateError> {
        let type_name = if value.is_nil_interface() {
            "interface {}"
        } else {
            value.clone().concrete().type_name()
        };
        match (value.clone().concrete(), parameter) {
            (_, Parameter::Any) => Ok(value),
            (text @ Value::Text(_), Parameter::Text) => Ok(text),
            (number @ Value::Int(_), Parameter::Integer) => Ok(number),
            (texts @ Value::Texts(_), Parameter::Texts) => Ok(texts),
            // Lists of texts have this type in docker, which decodes them from JSON into structures.
            (Value::List(items), Parameter::Texts) if items.iter().all(Json::is_string) => {
                Ok(Value::List(items))
            }
            (Value::Missing, Parameter::Texts) => Ok(Value::Texts(std::sync::Arc::from([]))),
            (Value::Missing, _) if !value.is_nil_interface() => {
                Err(self.fail(format!("invalid value; expected {}", parameter.type_name())))
            }
            _ => Err(self.fail(format!(
                "wrong type for value; expected {}; got {type_name}",
                parameter.type_name()
            ))),
        }
    }
}

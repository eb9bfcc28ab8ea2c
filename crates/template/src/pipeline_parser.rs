//! The inside of an action: pipelines, commands, operands.

use crate::{
    error::TemplateError,
    function::Function,
    number,
    parser::Parser,
    quote,
    syntax::{Command, Operand, OperandKind, Pipe},
    token::{Token, TokenKind},
};

impl Parser<'_> {
    /// Declarations and commands up to a token of the kind `end`, which is read too.
    pub(crate) fn pipeline(
        &mut self,
        context: &str,
        end: TokenKind,
    ) -> Result<Pipe, TemplateError> {
        self.enter()?;
        let mut pipe = Pipe {
            position: self.peek_non_space().position,
            ..Pipe::default()
        };
        self.declarations(context, &mut pipe)?;
        loop {
            let mark = self.mark();
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                TokenKind::Bool
                | TokenKind::CharConstant
                | TokenKind::Dot
                | TokenKind::Field
                | TokenKind::Identifier
                | TokenKind::Number
                | TokenKind::Nil
                | TokenKind::RawText
                | TokenKind::QuotedText
                | TokenKind::Variable
                | TokenKind::LeftParen => {
                    self.back_to(mark);
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        self.check_pipeline(&pipe, context)?;
        self.leave();
        Ok(pipe)
    }

    fn declarations(&mut self, context: &str, pipe: &mut Pipe) -> Result<(), TemplateError> {
        loop {
            let variable = self.peek_non_space();
            if variable.kind != TokenKind::Variable {
                return Ok(());
            }
            let mark = self.mark();
            self.advance();
            let next = self.peek_non_space();
            match next.kind {
                TokenKind::Assign | TokenKind::Declare => {
                    self.advance();
                    pipe.is_assignment = next.kind == TokenKind::Assign;
                    self.declare(&variable, pipe);
                    return Ok(());
                }
                TokenKind::Char if next.text == "," => {
                    self.advance();
                    self.declare(&variable, pipe);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return Err(self.error(format!("too many declarations in {context}")));
                    }
                    let kind = self.peek_non_space().kind;
                    if !matches!(
                        kind,
                        TokenKind::Variable | TokenKind::RightDelimiter | TokenKind::RightParen
                    ) {
                        return Err(self.error("range can only initialize variables"));
                    }
                }
                // An argument, not a declaration.
                _ => {
                    self.back_to(mark);
                    return Ok(());
                }
            }
        }
    }

    fn declare(&mut self, variable: &Token<'_>, pipe: &mut Pipe) {
        self.variables.push(variable.text.clone().into_owned());
        pipe.variables.push(variable.text.clone().into_owned());
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Result<(), TemplateError> {
        if pipe.commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            let takes_no_argument = matches!(
                command.first.kind,
                OperandKind::Bool(_)
                    | OperandKind::Dot
                    | OperandKind::Nil
                    | OperandKind::Number(_)
                    | OperandKind::Text { .. }
            );
            if takes_no_argument {
                return Err(self.error(format!(
                    "non executable command in pipeline stage {}",
                    index + 1
                )));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command, TemplateError> {
        let position = self.peek_non_space().position;
        let mut operands = Vec::new();
        loop {
            self.peek_non_space();
            operands.extend(self.operand()?);
            let mark = self.mark();
            let token = self.next_token();
            match token.kind {
                TokenKind::Space => continue,
                TokenKind::RightDelimiter | TokenKind::RightParen => self.back_to(mark),
                TokenKind::Pipe => {}
                _ => return Err(self.unexpected(&token, "operand")),
            }
            break;
        }
        let mut operands = operands.into_iter();
        let first = operands.next().ok_or_else(|| self.error("empty command"))?;
        Ok(Command {
            position,
            first,
            arguments: operands.collect(),
        })
    }

    /// A term and the fields behind it.
    fn operand(&mut self) -> Result<Option<Operand>, TemplateError> {
        let Some(mut term) = self.term()? else {
            return Ok(None);
        };
        let first_field = self.peek();
        if first_field.kind != TokenKind::Field {
            return Ok(Some(term));
        }
        let mut chain = Vec::new();
        while self.peek().kind == TokenKind::Field {
            chain.push(field_name(&self.next_token()));
        }
        match &mut term.kind {
            OperandKind::Field(fields) | OperandKind::Variable { fields, .. } => {
                fields.append(&mut chain);
                // Messages of Go point at the second field.
                term.position = first_field.position;
            }
            OperandKind::Function(_) | OperandKind::Pipe(_) => {
                let kind = OperandKind::Chain {
                    of: Box::new(term),
                    fields: chain,
                };
                term = Operand {
                    position: first_field.position,
                    kind,
                };
            }
            _ => {
                return Err(self.error(format!(
                    "unexpected . after term {}",
                    quote::quote(&term.to_string())
                )));
            }
        }
        Ok(Some(term))
    }

    fn term(&mut self) -> Result<Option<Operand>, TemplateError> {
        let mark = self.mark();
        let token = self.next_non_space();
        let text = token.text.as_ref();
        let kind = match token.kind {
            TokenKind::Identifier => match Function::from_name(text) {
                Some(function) => OperandKind::Function(function),
                None => {
                    return Err(self.error(format!("function {} not defined", quote::quote(text))));
                }
            },
            TokenKind::Dot => OperandKind::Dot,
            TokenKind::Nil => OperandKind::Nil,
            TokenKind::Variable => {
                if !self.variables.iter().any(|name| name == text) {
                    return Err(self.error(format!("undefined variable {}", quote::quote(text))));
                }
                OperandKind::Variable {
                    name: text.to_owned(),
                    fields: Vec::new(),
                }
            }
            TokenKind::Field => OperandKind::Field(vec![field_name(&token)]),
            TokenKind::Bool => OperandKind::Bool(text == "true"),
            TokenKind::CharConstant => {
                OperandKind::Number(number::parse_char(text).map_err(|e| self.error(e))?)
            }
            TokenKind::Number => {
                OperandKind::Number(number::parse(text).map_err(|e| self.error(e))?)
            }
            TokenKind::LeftParen => {
                OperandKind::Pipe(self.pipeline("parenthesized pipeline", TokenKind::RightParen)?)
            }
            TokenKind::QuotedText | TokenKind::RawText => {
                let content = quote::unquote(text).ok_or_else(|| self.error("invalid syntax"))?;
                OperandKind::Text {
                    literal: text.to_owned(),
                    text: content.into(),
                }
            }
            _ => {
                self.back_to(mark);
                return Ok(None);
            }
        };
        Ok(Some(Operand {
            position: token.position,
            kind,
        }))
    }
}

fn field_name(token: &Token<'_>) -> String {
    token.text.strip_prefix('.').unwrap_or_default().to_owned()
}

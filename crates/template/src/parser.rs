//! Tokens to bodies: text, actions and control structures. Pipelines are in [`crate::pipeline_parser`].

use std::collections::BTreeMap;

use crate::{
    error::TemplateError,
    lexer, limits, quote,
    syntax::{self, Choice, List, Node, TemplateCall},
    token::{Token, TokenKind},
};

/// All templates of a text by name; that of the text itself has the empty name.
pub(crate) type Definitions = BTreeMap<String, List>;

/// Reads a template text.
pub(crate) fn parse(text: &str) -> Result<Definitions, TemplateError> {
    let mut parser = Parser {
        tokens: lexer::tokens(text),
        next: 0,
        furthest: 0,
        variables: vec!["$".to_owned()],
        definitions: Definitions::new(),
        action_line: None,
        loops: 0,
        depth: 0,
    };
    parser.text()?;
    Ok(parser.definitions)
}

pub(crate) struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    next: usize,
    /// Go reports the line of the last token it has read, even when it went back since.
    furthest: usize,
    /// Names in scope.
    pub(crate) variables: Vec<String>,
    definitions: Definitions,
    /// Where the action being read began.
    action_line: Option<usize>,
    /// `range` bodies around this place.
    loops: usize,
    depth: usize,
}

/// How a body ended.
enum Terminator {
    End,
    Else,
}

impl Terminator {
    fn describe(&self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

/// A piece of a body, or its end.
enum Item {
    Node(Node),
    Terminator(Terminator),
}

impl<'t> Parser<'t> {
    fn text(&mut self) -> Result<(), TemplateError> {
        let mut root = List::new();
        while self.peek().kind != TokenKind::Eof {
            if self.peek().kind == TokenKind::LeftDelimiter {
                let mark = self.mark();
                self.advance();
                if self.next_non_space().kind == TokenKind::Define {
                    self.definition()?;
                    continue;
                }
                self.back_to(mark);
            }
            match self.text_or_action()? {
                Item::Node(node) => root.push(node),
                Item::Terminator(terminator) => {
                    return Err(self.error(format!("unexpected {}", terminator.describe())));
                }
            }
        }
        self.define(String::new(), root)
    }

    fn definition(&mut self) -> Result<(), TemplateError> {
        const CONTEXT: &str = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(TokenKind::RightDelimiter, CONTEXT)?;
        let body = self.separate_body(CONTEXT)?;
        self.define(name, body)
    }

    /// The body of another template: it sees no variables and no loops of this one.
    fn separate_body(&mut self, context: &str) -> Result<List, TemplateError> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, terminator) = self.body()?;
        if !matches!(terminator, Terminator::End) {
            return Err(self.error(format!("unexpected {} in {context}", terminator.describe())));
        }
        self.variables = variables;
        self.loops = loops;
        Ok(body)
    }

    fn define(&mut self, name: String, body: List) -> Result<(), TemplateError> {
        let is_taken = self
            .definitions
            .get(&name)
            .is_some_and(|earlier| !syntax::is_blank(earlier));
        if !is_taken {
            self.definitions.insert(name, body);
        } else if !syntax::is_blank(&body) {
            let message = format!(
                "template: multiple definition of template {}",
                quote::quote(&name)
            );
            return Err(self.error(message));
        }
        Ok(())
    }

    /// Nodes up to `{{end}}` or `{{else}}`.
    fn body(&mut self) -> Result<(List, Terminator), TemplateError> {
        self.enter()?;
        let mut list = List::new();
        while self.peek_non_space().kind != TokenKind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => list.push(node),
                Item::Terminator(terminator) => {
                    self.leave();
                    return Ok((list, terminator));
                }
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn text_or_action(&mut self) -> Result<Item, TemplateError> {
        let token = self.next_non_space();
        match token.kind {
            TokenKind::Text => Ok(Item::Node(Node::Text(token.text.into_owned()))),
            TokenKind::LeftDelimiter => {
                self.action_line = Some(token.line);
                let item = self.action();
                if item.is_ok() {
                    self.action_line = None;
                }
                item
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Result<Item, TemplateError> {
        let mark = self.mark();
        let token = self.next_non_space();
        Ok(Item::Node(match token.kind {
            TokenKind::Block => self.block()?,
            TokenKind::Break => self.loop_control(Node::Break, "{{break}}")?,
            TokenKind::Continue => self.loop_control(Node::Continue, "{{continue}}")?,
            TokenKind::Else => {
                if !matches!(self.peek_non_space().kind, TokenKind::If | TokenKind::With) {
                    self.expect(TokenKind::RightDelimiter, "else")?;
                }
                return Ok(Item::Terminator(Terminator::Else));
            }
            TokenKind::End => {
                self.expect(TokenKind::RightDelimiter, "end")?;
                return Ok(Item::Terminator(Terminator::End));
            }
            TokenKind::If => self.choice(Choice::If)?,
            TokenKind::With => self.choice(Choice::With)?,
            TokenKind::Range => self.range()?,
            TokenKind::Template => self.template_call()?,
            _ => {
                self.back_to(mark);
                Node::Action(self.pipeline("command", TokenKind::RightDelimiter)?)
            }
        }))
    }

    fn loop_control(&mut self, node: Node, name: &str) -> Result<Node, TemplateError> {
        let token = self.next_non_space();
        if token.kind != TokenKind::RightDelimiter {
            return Err(self.unexpected(&token, name));
        }
        if self.loops == 0 {
            return Err(self.error(format!("{name} outside {{{{range}}}}")));
        }
        Ok(node)
    }

    /// `if` or `with`. A chain of `else if` is one node, so that its length is no nesting.
    fn choice(&mut self, kind: Choice) -> Result<Node, TemplateError> {
        let (context, keyword) = match kind {
            Choice::If => ("if", TokenKind::If),
            Choice::With => ("with", TokenKind::With),
        };
        let scope = self.variables.len();
        let mut branches = Vec::new();
        let otherwise = loop {
            let pipe = self.pipeline(context, TokenKind::RightDelimiter)?;
            let (body, terminator) = self.body()?;
            branches.push((pipe, body));
            match terminator {
                Terminator::End => break List::new(),
                Terminator::Else if self.peek().kind == keyword => self.advance(),
                Terminator::Else => break self.otherwise()?,
            }
        };
        self.variables.truncate(scope);
        Ok(Node::Choice {
            kind,
            branches,
            otherwise,
        })
    }

    fn range(&mut self) -> Result<Node, TemplateError> {
        let scope = self.variables.len();
        let pipe = self.pipeline("range", TokenKind::RightDelimiter)?;
        self.loops += 1;
        let (body, terminator) = self.body()?;
        self.loops -= 1;
        let otherwise = match terminator {
            Terminator::End => List::new(),
            Terminator::Else => self.otherwise()?,
        };
        self.variables.truncate(scope);
        Ok(Node::Range {
            pipe,
            body,
            otherwise,
        })
    }

    fn otherwise(&mut self) -> Result<List, TemplateError> {
        let (body, terminator) = self.body()?;
        match terminator {
            Terminator::End => Ok(body),
            Terminator::Else => {
                Err(self.error(format!("expected end; found {}", terminator.describe())))
            }
        }
    }

    fn block(&mut self) -> Result<Node, TemplateError> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, TokenKind::RightDelimiter)?;
        let body = self.separate_body(CONTEXT)?;
        self.define(name.clone(), body)?;
        Ok(Node::Call(TemplateCall {
            position: token.position,
            name,
            pipe: Some(pipe),
        }))
    }

    fn template_call(&mut self) -> Result<Node, TemplateError> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let mark = self.mark();
        let pipe = if self.next_non_space().kind == TokenKind::RightDelimiter {
            None
        } else {
            self.back_to(mark);
            Some(self.pipeline(CONTEXT, TokenKind::RightDelimiter)?)
        };
        Ok(Node::Call(TemplateCall {
            position: token.position,
            name,
            pipe,
        }))
    }

    fn template_name(&mut self, token: &Token<'_>, context: &str) -> Result<String, TemplateError> {
        if !matches!(token.kind, TokenKind::QuotedText | TokenKind::RawText) {
            return Err(self.unexpected(token, context));
        }
        quote::unquote(&token.text).ok_or_else(|| self.error("invalid syntax"))
    }

    fn expect(&mut self, kind: TokenKind, context: &str) -> Result<(), TemplateError> {
        let token = self.next_non_space();
        if token.kind == kind {
            Ok(())
        } else {
            Err(self.unexpected(&token, context))
        }
    }

    /// Counts one more level of nesting.
    pub(crate) fn enter(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > limits::NESTING {
            return Err(self.error(format!("nested deeper than {} levels", limits::NESTING)));
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    pub(crate) fn mark(&self) -> usize {
        self.next
    }

    pub(crate) fn back_to(&mut self, mark: usize) {
        self.next = mark;
    }

    pub(crate) fn advance(&mut self) {
        self.peek();
        // The last token, end of text or error, is never passed.
        self.next = (self.next + 1).min(self.tokens.len().saturating_sub(1));
    }

    pub(crate) fn peek(&mut self) -> Token<'t> {
        self.furthest = self.furthest.max(self.next);
        self.tokens.get(self.next).cloned().unwrap_or(Token {
            kind: TokenKind::Eof,
            position: 0,
            line: 1,
            text: "".into(),
        })
    }

    pub(crate) fn next_token(&mut self) -> Token<'t> {
        let token = self.peek();
        self.advance();
        token
    }

    pub(crate) fn peek_non_space(&mut self) -> Token<'t> {
        while self.peek().kind == TokenKind::Space {
            self.advance();
        }
        self.peek()
    }

    pub(crate) fn next_non_space(&mut self) -> Token<'t> {
        self.peek_non_space();
        self.next_token()
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> TemplateError {
        let line = self.tokens.get(self.furthest).map_or(1, |token| token.line);
        TemplateError::Parse {
            line,
            message: message.into(),
        }
    }

    pub(crate) fn unexpected(&self, token: &Token<'_>, context: &str) -> TemplateError {
        if token.kind != TokenKind::Error {
            return self.error(format!("unexpected {} in {context}", token.describe()));
        }
        let message = &token.text;
        match self.action_line {
            Some(line) if line != token.line => {
                let action = if message.ends_with(" action") {
                    ""
                } else {
                    " in action"
                };
                self.error(format!("{message}{action} started at :{line}"))
            }
            _ => self.error(message.clone()),
        }
    }
}

//! `printf`, `print` and `println`.

use crate::{format_value, limits, value::Value, verb::Verb};

/// Go's `fmt.Sprintf`. Mistakes show in the text, as `%!d(string=x)`.
pub(crate) fn sprintf(format: &str, arguments: &[Value<'_>]) -> String {
    let mut printer = Printer {
        rest: format,
        arguments,
        next: 0,
        is_reordered: false,
        has_good_index: true,
        out: String::new(),
    };
    while printer.out.len() <= limits::OUTPUT_BYTES {
        let Some((text, rest)) = printer.rest.split_once('%') else {
            printer.out.push_str(printer.rest);
            break;
        };
        printer.out.push_str(text);
        printer.rest = rest;
        if !printer.directive() {
            break;
        }
    }
    printer.extra();
    printer.out
}

/// Go's `fmt.Sprint`: spaces only between two values that are no texts.
pub(crate) fn sprint(values: &[Value<'_>]) -> String {
    let mut out = String::new();
    let mut previous_is_text = true;
    for value in values {
        let is_text = matches!(value.clone().concrete(), Value::Text(_));
        if !is_text && !previous_is_text {
            out.push(' ');
        }
        format_value::push(&mut out, value, &Verb::plain());
        previous_is_text = is_text;
        if out.len() > limits::OUTPUT_BYTES {
            break;
        }
    }
    out
}

/// Go's `fmt.Sprintln`: spaces everywhere, and a newline.
pub(crate) fn sprintln(values: &[Value<'_>]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        format_value::push(&mut out, value, &Verb::plain());
        if out.len() > limits::OUTPUT_BYTES {
            break;
        }
    }
    out.push('\n');
    out
}

struct Printer<'p, 'a> {
    /// What is left of the format.
    rest: &'p str,
    arguments: &'p [Value<'a>],
    next: usize,
    is_reordered: bool,
    has_good_index: bool,
    out: String,
}

impl Printer<'_, '_> {
    /// One directive, its `%` is read; whether the format goes on.
    fn directive(&mut self) -> bool {
        self.has_good_index = true;
        let mut verb = self.flags();
        let mut is_after_index = self.index();
        if self.accept('*') {
            match self.star() {
                Some(width) => {
                    verb.minus |= width < 0;
                    verb.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
            is_after_index = false;
        } else {
            verb.width = self.number();
            self.has_good_index &= !(is_after_index && verb.width.is_some());
        }
        if self.accept('.') {
            self.has_good_index &= !is_after_index;
            is_after_index = self.index();
            if self.accept('*') {
                verb.precision = self
                    .star()
                    .and_then(|precision| usize::try_from(precision).ok());
                if verb.precision.is_none() {
                    self.out.push_str("%!(BADPREC)");
                }
                is_after_index = false;
            } else {
                verb.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !is_after_index {
            self.index();
        }
        let Some(letter) = self.rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return false;
        };
        self.rest = self.rest.get(letter.len_utf8()..).unwrap_or_default();
        verb.letter = letter;
        if letter == 'v' {
            verb.go_syntax = std::mem::take(&mut verb.sharp);
            verb.plus = false;
        }
        self.print(&verb);
        true
    }

    fn print(&mut self, verb: &Verb) {
        let arguments = self.arguments;
        match arguments.get(self.next) {
            _ if verb.letter == '%' => self.out.push('%'),
            _ if !self.has_good_index => self.complain(verb.letter, "(BADINDEX)"),
            None => self.complain(verb.letter, "(MISSING)"),
            Some(argument) => {
                self.next += 1;
                format_value::push(&mut self.out, argument, verb);
            }
        }
    }

    fn complain(&mut self, letter: char, what: &str) {
        self.out.push_str("%!");
        self.out.push(letter);
        self.out.push_str(what);
    }

    fn flags(&mut self) -> Verb {
        let mut verb = Verb::default();
        loop {
            match self.rest.as_bytes().first() {
                Some(b'#') => verb.sharp = true,
                Some(b'0') => verb.zero = true,
                Some(b'+') => verb.plus = true,
                Some(b'-') => verb.minus = true,
                Some(b' ') => verb.space = true,
                _ => return verb,
            }
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
    }

    /// `[2]`: the number of the next argument. Whether there is one.
    fn index(&mut self) -> bool {
        let Some(inside) = self.rest.strip_prefix('[') else {
            return false;
        };
        self.is_reordered = true;
        let Some((digits, rest)) = inside.split_once(']') else {
            self.has_good_index = false;
            self.rest = inside;
            return false;
        };
        self.rest = rest;
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits
            .parse::<usize>()
            .ok()
            .filter(|&number| is_number && number <= limits::FORMAT_NUMBER);
        match number
            .and_then(|number| number.checked_sub(1))
            .filter(|&index| index < self.arguments.len())
        {
            Some(index) => self.next = index,
            None => self.has_good_index = false,
        }
        number.is_some()
    }

    /// A width or a precision that an argument gives.
    fn star(&mut self) -> Option<i64> {
        let argument = self.arguments.get(self.next)?;
        self.next += 1;
        match argument.clone().concrete() {
            Value::Int(number) if number.unsigned_abs() <= limits::FORMAT_NUMBER as u64 => {
                Some(number)
            }
            _ => None,
        }
    }

    /// A number in the format. One that is too large ends the format, as in Go.
    fn number(&mut self) -> Option<usize> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        if digits.is_empty() {
            return None;
        }
        let number = digits
            .parse()
            .ok()
            .filter(|&number| number <= limits::FORMAT_NUMBER);
        self.rest = if number.is_some() { rest } else { "" };
        number
    }

    fn accept(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Tells of arguments that no directive used.
    fn extra(&mut self) {
        let unused = self.arguments.get(self.next..).unwrap_or_default();
        if self.is_reordered || unused.is_empty() {
            return;
        }
        self.out.push_str("%!(EXTRA ");
        for (index, argument) in unused.iter().enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            let argument = argument.clone().concrete();
            if !matches!(argument, Value::Missing) {
                self.out.push_str(argument.type_name());
                self.out.push('=');
            }
            format_value::push(&mut self.out, &argument, &Verb::plain());
        }
        self.out.push(')');
    }
}

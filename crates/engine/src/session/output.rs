//! The beginning and the end of a stream.

use std::collections::VecDeque;

/// Keeps at most a limit of bytes, half of the beginning and half of the end.
#[derive(Debug)]
pub(super) struct Output {
    limit: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    cut: u64,
}

impl Output {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            head: Vec::new(),
            tail: VecDeque::new(),
            cut: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let head_room = (self.limit / 2).saturating_sub(self.head.len());
        let (head, rest) = bytes.split_at(head_room.min(bytes.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(self.limit - self.limit / 2);
        self.tail.drain(..surplus);
        self.cut += surplus as u64;
    }

    /// The text, with a line where something was left out, and how many bytes that are.
    pub(super) fn take(self) -> (String, u64) {
        let tail: Vec<u8> = self.tail.into();
        if self.cut == 0 {
            // In one piece: a character may lie across the middle.
            let all = [self.head, tail].concat();
            return (String::from_utf8_lossy(&all).into_owned(), 0);
        }
        let text = format!(
            "{}\n[{} bytes left out]\n{}",
            String::from_utf8_lossy(&self.head),
            self.cut,
            String::from_utf8_lossy(&tail)
        );
        (text, self.cut)
    }

    /// The same with another limit.
    pub(super) fn limited_to(self, limit: usize) -> Self {
        let mut other = Self::new(limit);
        other.push(&self.head);
        other.cut += self.cut;
        other.push(&Vec::from(self.tail));
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(limit: usize, parts: &[&str]) -> (String, u64) {
        let mut output = Output::new(limit);
        for part in parts {
            output.push(part.as_bytes());
        }
        output.take()
    }

    #[test]
    fn head_and_tail_are_kept() {
        assert_eq!(taken(8, &["abc", "def"]), ("abcdef".into(), 0));
        assert_eq!(taken(8, &["ab€", "€x"]).1, 1, "eight bytes and one more");
        assert_eq!(taken(10, &["ab€", "€x"]), ("ab€€x".into(), 0));
        assert_eq!(
            taken(4, &["abc", "defgh"]),
            ("ab\n[4 bytes left out]\ngh".into(), 4)
        );
        assert_eq!(taken(0, &["abc"]), ("\n[3 bytes left out]\n".into(), 3));
        let mut output = Output::new(8);
        output.push(b"abcdefgh");
        assert_eq!(
            output.limited_to(2).take(),
            ("a\n[6 bytes left out]\nh".into(), 6)
        );
    }
}

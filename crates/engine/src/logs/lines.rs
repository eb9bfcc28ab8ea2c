//! Lines across frames: a line of one stream may begin in one frame and end in another, with frames of the other stream
//! between them.

use super::Frame;

/// Knows for each stream whether its next byte begins a line, and whether the line that goes on is wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct LineCounter {
    /// By stream, less one.
    streams: [State; 2],
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    inside: bool,
    unwanted: bool,
}

impl LineCounter {
    /// How many lines begin in this frame.
    pub(super) fn lines_begun(&mut self, frame: &Frame) -> u64 {
        let state = &mut self.streams[frame.stream as usize - 1];
        let mut begun = 0;
        for line in frame.bytes.split_inclusive(|byte| *byte == b'\n') {
            begun += u64::from(!state.inside);
            state.inside = !line.ends_with(b"\n");
        }
        begun
    }

    /// The frame without the lines that are to be passed over: the next `skip` that begin, with all their parts.
    pub(super) fn skip(&mut self, mut frame: Frame, skip: &mut u64) -> Frame {
        let state = &mut self.streams[frame.stream as usize - 1];
        if *skip == 0 && !state.unwanted {
            // Nothing will be passed over in this stream any more.
            return frame;
        }
        let mut wanted = Vec::new();
        for line in frame.bytes.split_inclusive(|byte| *byte == b'\n') {
            if !state.inside {
                state.unwanted = *skip > 0;
                *skip = skip.saturating_sub(1);
            }
            if !state.unwanted {
                wanted.extend_from_slice(line);
            }
            state.inside = !line.ends_with(b"\n");
            state.unwanted &= state.inside;
        }
        frame.bytes = wanted;
        frame
    }
}

//! HTTP/2 as far as unary gRPC calls over plain text need it, from the client's side, and
//! as cheaply as that can be: the client shares its cores with what it measures. It reads
//! no header: what has no message was not answered.

use std::collections::VecDeque;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The kinds of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// The flags of frames.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// The settings.
const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// What every connection may send before its peer has said more.
const WINDOW: i64 = 65_535;
/// What the peer may send: all that there is.
const WIDE: u32 = 0x7fff_ffff;
/// After how many bytes the peer may send as many again.
const REPLENISHED: u32 = 1 << 29;
/// How many streams there may be before the peer has said how many.
const STREAMS: usize = 100;
/// The header of a frame, and of a message in it.
const FRAME: usize = 9;
const MESSAGE: usize = 5;

/// What came of calls. `C` is what the caller knows a call by.
#[derive(Debug)]
pub(super) enum Event<'a, C> {
    /// The answer's message.
    Message(C, &'a [u8]),
    /// The call is over; its message came before.
    Ended(C),
}

/// A connection on which nothing more can be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The server closed it.
    #[error("the server closed the connection")]
    Closed,
    /// A call was refused: it ended without an answer.
    #[error("a call ended without an answer")]
    Unanswered,
    /// The server speaks otherwise than this reads.
    #[error("the server's HTTP/2 is not as this client reads it: {0}")]
    Foreign(&'static str),
}

#[derive(Debug)]
struct Stream<C> {
    call: C,
    /// What came of a message that is in several frames.
    part: Vec<u8>,
    answered: bool,
}

/// One connection: what is to be written, and what the bytes that come mean.
#[derive(Debug)]
pub(super) struct Wire<C> {
    /// What is to be written.
    pub(super) out: Vec<u8>,
    unread: Vec<u8>,
    /// The headers of the first call, and of those after it, which refer to it.
    first: Vec<u8>,
    later: Vec<u8>,
    next: u32,
    /// The calls under way, from the oldest on; `None` is over.
    streams: VecDeque<Option<Stream<C>>>,
    oldest: u32,
    in_flight: usize,
    most: usize,
    window: i64,
    received: u32,
}

impl<C: Copy> Wire<C> {
    /// Opens a connection on which one method is called with these credentials.
    pub(super) fn new(authority: &str, path: &str, authorization: Option<&str>) -> Self {
        let mut out = PREFACE.to_vec();
        let settings = [(ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, WIDE)];
        frame(&mut out, 6 * settings.len(), SETTINGS, 0, 0);
        for (setting, value) in settings {
            out.extend(setting.to_be_bytes());
            out.extend(u32::to_be_bytes(value));
        }
        frame(&mut out, 4, WINDOW_UPDATE, 0, 0);
        out.extend((WIDE - 65_535).to_be_bytes());
        let (first, later) = headers(authority, path, authorization);
        Self {
            out,
            unread: Vec::new(),
            first,
            later,
            next: 1,
            streams: VecDeque::new(),
            oldest: 1,
            in_flight: 0,
            most: STREAMS,
            window: WINDOW,
            received: 0,
        }
    }

    /// Returns how many calls are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Returns whether a message of that length can be asked now.
    pub(super) fn has_room(&self, length: usize) -> bool {
        let length = i64::try_from(length + MESSAGE).unwrap_or(i64::MAX);
        self.in_flight < self.most && self.window >= length
    }

    /// Asks; the message has at most 16 KiB, less its header.
    pub(super) fn call(&mut self, call: C, message: &[u8]) {
        let headers = if self.next == 1 {
            &self.first
        } else {
            &self.later
        };
        frame(
            &mut self.out,
            headers.len(),
            HEADERS,
            END_HEADERS,
            self.next,
        );
        self.out.extend(headers);
        let length = message.len() + MESSAGE;
        frame(&mut self.out, length, DATA, END_STREAM, self.next);
        self.out.push(0);
        self.out.extend(
            u32::try_from(message.len())
                .unwrap_or(u32::MAX)
                .to_be_bytes(),
        );
        self.out.extend(message);
        self.window -= i64::try_from(length).unwrap_or(i64::MAX);
        self.streams.push_back(Some(Stream {
            call,
            part: Vec::new(),
            answered: false,
        }));
        self.in_flight += 1;
        self.next += 2;
    }

    /// Takes what was read, and tells what came of calls.
    pub(super) fn receive<E: From<WireError>>(
        &mut self,
        read: &[u8],
        mut tell: impl FnMut(Event<'_, C>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut unread = std::mem::take(&mut self.unread);
        let whole;
        let mut rest = if unread.is_empty() {
            read
        } else {
            unread.extend(read);
            whole = unread;
            unread = Vec::new();
            &whole
        };
        while let Some((header, after)) = rest.split_first_chunk::<FRAME>() {
            let [a, b, c, kind, flags, id @ ..] = *header;
            let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            self.take(
                kind,
                flags,
                u32::from_be_bytes(id) & WIDE,
                payload,
                &mut tell,
            )?;
            rest = after;
        }
        unread.extend(rest);
        self.unread = unread;
        Ok(())
    }

    fn take<E: From<WireError>>(
        &mut self,
        kind: u8,
        flags: u8,
        id: u32,
        payload: &[u8],
        tell: &mut impl FnMut(Event<'_, C>) -> Result<(), E>,
    ) -> Result<(), E> {
        match kind {
            DATA => {
                if flags & PADDED != 0 {
                    return Err(WireError::Foreign("padding").into());
                }
                self.replenish(payload.len());
                let stream = self.stream(id)?;
                if stream.part.is_empty()
                    && let Some(message) = message(payload)
                {
                    stream.answered = true;
                    let call = stream.call;
                    tell(Event::Message(call, message))?;
                } else {
                    stream.part.extend(payload);
                    if let Some(message) = message(&stream.part) {
                        stream.answered = true;
                        tell(Event::Message(stream.call, message))?;
                    }
                }
                if flags & END_STREAM != 0 {
                    self.end(id, tell)?;
                }
            }
            HEADERS if flags & END_STREAM != 0 => self.end(id, tell)?,
            SETTINGS if flags & ACK == 0 => self.agree(payload)?,
            PING if flags & ACK == 0 => {
                frame(&mut self.out, payload.len(), PING, ACK, 0);
                self.out.extend(payload);
            }
            WINDOW_UPDATE if id == 0 => self.window += i64::from(number(payload)),
            RST_STREAM => return Err(WireError::Unanswered.into()),
            GOAWAY => return Err(WireError::Closed.into()),
            _ => {}
        }
        Ok(())
    }

    fn stream(&mut self, id: u32) -> Result<&mut Stream<C>, WireError> {
        let at = id.wrapping_sub(self.oldest) / 2;
        let stream = usize::try_from(at)
            .ok()
            .and_then(|at| self.streams.get_mut(at));
        let unknown = WireError::Foreign("a stream that nobody opened");
        stream.and_then(Option::as_mut).ok_or(unknown)
    }

    fn end<E: From<WireError>>(
        &mut self,
        id: u32,
        tell: &mut impl FnMut(Event<'_, C>) -> Result<(), E>,
    ) -> Result<(), E> {
        let stream = self.stream(id)?;
        let (call, answered) = (stream.call, stream.answered);
        let at = usize::try_from(id.wrapping_sub(self.oldest) / 2).unwrap_or(usize::MAX);
        if let Some(stream) = self.streams.get_mut(at) {
            *stream = None;
        }
        while let Some(None) = self.streams.front() {
            self.streams.pop_front();
            self.oldest += 2;
        }
        self.in_flight -= 1;
        if !answered {
            return Err(WireError::Unanswered.into());
        }
        tell(Event::Ended(call))
    }

    /// Lets the peer send as much again, once it has sent much.
    fn replenish(&mut self, received: usize) {
        self.received += u32::try_from(received).unwrap_or(u32::MAX);
        if self.received >= REPLENISHED {
            frame(&mut self.out, 4, WINDOW_UPDATE, 0, 0);
            self.out.extend(self.received.to_be_bytes());
            self.received = 0;
        }
    }

    /// Takes the peer's settings.
    fn agree(&mut self, payload: &[u8]) -> Result<(), WireError> {
        for setting in payload.chunks(6) {
            let (id, value) = setting.split_at_checked(2).unwrap_or_default();
            match id.try_into().map_or(0, u16::from_be_bytes) {
                MAX_CONCURRENT_STREAMS => {
                    self.most = usize::try_from(number(value)).unwrap_or(usize::MAX);
                }
                HEADER_TABLE_SIZE if number(value) < 4096 => {
                    return Err(WireError::Foreign("it keeps no table of headers"));
                }
                _ => {}
            }
        }
        frame(&mut self.out, 0, SETTINGS, ACK, 0);
        Ok(())
    }
}

/// Returns the message in a body, if all of it is there.
fn message(body: &[u8]) -> Option<&[u8]> {
    let ([_, length @ ..], message) = body.split_first_chunk::<MESSAGE>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (message.len() == length).then_some(message)
}

/// Returns the number that four bytes are.
fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_be_bytes) & WIDE
}

/// Writes a frame's header.
fn frame(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, length @ ..] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out.extend(length);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
}

/// Returns the headers of the first call, which have the peer keep them, and of those
/// after it, by what it keeps: what most clients' do.
fn headers(authority: &str, path: &str, authorization: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    // POST, http.
    let (mut first, mut later) = (vec![0x83, 0x86], vec![0x83, 0x86]);
    // By their numbers in the table that every peer has; 0 is not in it.
    let mut kept: Vec<(u8, &str, &str)> = vec![
        (4, ":path", path),
        (1, ":authority", authority),
        (31, "content-type", "application/grpc"),
        (0, "te", "trailers"),
        (58, "user-agent", "token-authority-bench"),
    ];
    if let Some(authorization) = authorization {
        kept.push((23, "authorization", authorization));
    }
    // What is kept last has the number 62.
    let mut index = 0x80 + 61;
    for _ in &kept {
        index += 1;
    }
    for (name_index, name, value) in kept {
        first.push(0x40 | name_index);
        if name_index == 0 {
            text(&mut first, name);
        }
        text(&mut first, value);
        later.push(index);
        index -= 1;
    }
    (first, later)
}

/// Writes a text of a header: its length, and itself.
fn text(out: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if let Ok(short @ 0..127) = u8::try_from(length) {
        out.push(short);
    } else {
        out.push(127);
        length -= 127;
        while length >= 128 {
            out.push(u8::try_from(length % 128).unwrap_or(0) | 0x80);
            length /= 128;
        }
        out.push(u8::try_from(length).unwrap_or(0));
    }
    out.extend(text.as_bytes());
}

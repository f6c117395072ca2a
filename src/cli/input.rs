//! What is read: values and documents, from files or standard input, never from the
//! command line, which others on the machine can see.

use std::fs::File;
use std::io::{IsTerminal as _, Read, Write as _};
use std::path::Path;

use super::failure::Failure;
use crate::domain::value;

/// The bytes of a value, at most; the server takes fewer.
const VALUE_BYTES: u64 = 16 * 1024;

/// Reads a value: from a file, `-` or none being standard input, typed unseen where
/// that is a terminal. One line's end is dropped. `what` names it for whoever types.
pub(super) fn value(what: &str, file: Option<&Path>) -> Result<String, Failure> {
    let typed = is_standard(file) && std::io::stdin().is_terminal();
    let mut text = if typed {
        rpassword::prompt_password(format!("{what} (not shown): "))
            .map_err(|error| Failure::told(format!("can't read {what}: {error}")))?
    } else {
        document(what, file, VALUE_BYTES)?
    };
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        let place = name(file);
        return Err(Failure::usage(format!("{what} is empty ({place})")));
    }
    Ok(text)
}

/// One of several texts that were read.
pub(super) struct Line {
    /// Which line of the file it is, from 1.
    pub(super) number: usize,
    /// The text.
    pub(super) text: String,
}

/// Reads values, one a line, blank lines left out, as [`document`] reads a text. They are
/// not typed, since a terminal shows what is.
pub(super) fn lines(what: &str, file: Option<&Path>, most: u64) -> Result<Vec<Line>, Failure> {
    if is_standard(file) && std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{what} would be seen, typed on a terminal\n  give a file of them, one a line, with \
             --value-file FILE or < FILE"
        )));
    }
    let text = document(what, file, most)?;
    let lines = text.lines().zip(1..).map(|(line, number)| Line {
        number,
        text: line.trim().to_owned(),
    });
    let lines: Vec<Line> = lines.filter(|line| !line.text.is_empty()).collect();
    if lines.is_empty() {
        let place = name(file);
        return Err(Failure::usage(format!(
            "there are none of {what} ({place})"
        )));
    }
    Ok(lines)
}

/// Refuses a token's value that was given as something else, and doesn't repeat it.
pub(super) fn without_value(what: &str, given: &str) -> Result<(), Failure> {
    if value::stands_in(given) {
        return Err(Failure::usage(format!(
            "that is a token's value, and not {what}\n  it now stands in your shell's history, and \
             others on this machine could see it"
        )));
    }
    Ok(())
}

/// Refuses a token's value that was given as the path of a file.
pub(super) fn path_without_value(path: &Path) -> Result<(), Failure> {
    without_value("a file's name", &path.to_string_lossy())
}

/// Reads a text of at most so many bytes from a file, `-` or none being standard input.
pub(super) fn document(what: &str, file: Option<&Path>, most: u64) -> Result<String, Failure> {
    file.map_or(Ok(()), path_without_value)?;
    let place = name(file);
    let text = match file {
        Some(path) if !is_standard(file) => File::open(path).and_then(|file| bounded(file, most)),
        _ => bounded(std::io::stdin().lock(), most),
    };
    let text =
        text.map_err(|error| Failure::usage(format!("can't read {what}: {place}: {error}")))?;
    if text.len() as u64 > most {
        return Err(Failure::usage(format!(
            "{what} is longer than {most} bytes ({place})"
        )));
    }
    Ok(text)
}

/// Asks on the terminal whether to go on. Without a terminal, or an answer that is yes,
/// nothing is done, unless `yes` was said before.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::usage(format!(
            "{question}\nNobody is there to answer; say --yes if you mean it"
        )));
    }
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES") {
        Ok(())
    } else {
        Err(Failure::told("nothing was done"))
    }
}

/// Returns whether this is standard input: `-`, or none.
pub(super) fn is_standard(file: Option<&Path>) -> bool {
    file.is_none_or(|path| path == Path::new("-"))
}

fn name(file: Option<&Path>) -> String {
    match file {
        Some(path) if !is_standard(file) => path.display().to_string(),
        _ => String::from("standard input"),
    }
}

/// Reads so many bytes and one more, so that who gave more can be told.
fn bounded(from: impl Read, most: u64) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(most.saturating_add(1))
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("value");
        std::fs::write(&path, text).unwrap();
        value("the value", Some(&path)).map_err(|failure| {
            let said = failure.to_string();
            said.replace(&path.display().to_string(), "FILE")
        })
    }

    #[test]
    fn a_value_loses_one_lines_end() {
        assert_eq!(read(b"abc\n"), Ok("abc".to_owned()));
        assert_eq!(read(b"abc\r\n"), Ok("abc".to_owned()));
        assert_eq!(read(b"abc\n\n"), Ok("abc\n".to_owned()));
        assert_eq!(read(b" abc"), Ok(" abc".to_owned()));
        assert_eq!(read(b"\n"), Err("the value is empty (FILE)".to_owned()));
    }

    #[test]
    fn a_value_is_bounded_and_is_text() {
        let long = vec![b'a'; 16 * 1024];
        assert!(read(&long).is_ok());
        assert_eq!(
            read(&[long, vec![b'a']].concat()),
            Err("the value is longer than 16384 bytes (FILE)".to_owned())
        );
        let said = read(b"\xff").unwrap_err();
        assert!(said.starts_with("can't read the value: FILE: "), "{said}");
    }
}

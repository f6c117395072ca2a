//! Files that are read whole at the start: regular ones, of a size that they may have.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// The most bytes of such a file.
const MOST: u64 = 1024 * 1024;

/// Reads a file's text. What is no regular file may never end, and is refused before it
/// is opened.
pub fn read_text(path: &Path) -> io::Result<String> {
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if !fs::metadata(path)?.is_file() {
        return refused("not a regular file");
    }
    let mut text = String::new();
    let read = File::open(path)?.take(MOST + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= MOST) {
        Ok(text)
    } else {
        refused("more than 1 MiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let most = usize::try_from(MOST).unwrap();
        fs::write(&path, "a".repeat(most)).unwrap();
        assert_eq!(read_text(&path).unwrap().len(), most);
        fs::write(&path, "a".repeat(most + 1)).unwrap();
        let error = read_text(&path).unwrap_err();
        assert_eq!(error.to_string(), "more than 1 MiB");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused() {
        for path in ["/dev/zero", "/dev/stdin", "/"] {
            let error = read_text(Path::new(path)).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file", "{path}");
        }
    }
}

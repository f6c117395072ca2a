//! All that is in files and directories, searched for values piece by piece.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::cli::input;
use crate::domain::value::{Finder, TokenValue};

/// How much of a file is held at once, whatever its lines are.
const PIECE: usize = 64 * 1024;

/// A value, and where it stands.
#[derive(Debug)]
pub(super) struct Finding {
    /// The file; `-` is standard input.
    pub(super) file: PathBuf,
    /// Its line, from 1.
    pub(super) line: u64,
    /// The value.
    pub(super) value: TokenValue,
}

/// A search, which goes on as it is asked for more: each part is what was found in a piece,
/// or why something could not be read.
pub(super) struct Search {
    /// What is still to be looked at, the next last.
    open: Vec<Place>,
    /// What is being read.
    reading: Option<Reading>,
}

/// A path, and who named it.
enum Place {
    /// Whoever asks: it is followed wherever it leads.
    Named(PathBuf),
    /// A directory: what leads elsewhere from there is not followed, and so no loop is.
    Within(PathBuf),
}

/// A file that is being read.
struct Reading {
    file: PathBuf,
    from: Box<dyn Read>,
    finder: Finder,
}

impl Search {
    /// Searches these.
    pub(super) fn of(paths: Vec<PathBuf>) -> Self {
        Self {
            open: paths.into_iter().rev().map(Place::Named).collect(),
            reading: None,
        }
    }

    /// Opens what comes next, if it is anything to be read.
    fn open(&mut self, place: Place) -> io::Result<()> {
        let (path, kind) = match place {
            Place::Named(path) if input::is_standard(Some(&path)) => {
                self.read(path, Box::new(io::stdin().lock()));
                return Ok(());
            }
            Place::Named(path) => {
                let kind = fs::metadata(&path)?.file_type();
                (path, kind)
            }
            Place::Within(path) => {
                let kind = fs::symlink_metadata(&path)?.file_type();
                // A pipe or a device there may never end, and is nobody's document.
                if !kind.is_dir() && !kind.is_file() {
                    return Ok(());
                }
                (path, kind)
            }
        };
        if kind.is_dir() {
            return self.enter(&path);
        }
        let file = File::open(&path)?;
        self.read(path, Box::new(file));
        Ok(())
    }

    /// Has all that is in a directory looked at, by name.
    fn enter(&mut self, directory: &Path) -> io::Result<()> {
        let mut within = Vec::new();
        for entry in fs::read_dir(directory)? {
            within.push(entry?.path());
        }
        within.sort_unstable();
        self.open
            .extend(within.into_iter().rev().map(Place::Within));
        Ok(())
    }

    fn read(&mut self, file: PathBuf, from: Box<dyn Read>) {
        self.reading = Some(Reading {
            file,
            from,
            finder: Finder::default(),
        });
    }
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::Within(path) => path,
        }
    }
}

impl Iterator for Search {
    type Item = Result<Vec<Finding>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(mut reading) = self.reading.take() {
                match reading.piece() {
                    Ok(Some(found)) => {
                        self.reading = Some(reading);
                        return Some(Ok(found));
                    }
                    Ok(None) => {}
                    Err(error) => return Some(Err(unread(&reading.file, &error))),
                }
            }
            let place = self.open.pop()?;
            let path = place.path().to_owned();
            if let Err(error) = self.open(place) {
                return Some(Err(unread(&path, &error)));
            }
        }
    }
}

impl Reading {
    /// Reads the next piece; `None` is the end.
    fn piece(&mut self) -> io::Result<Option<Vec<Finding>>> {
        let mut piece = Vec::with_capacity(PIECE);
        let mut from = self.from.by_ref().take(PIECE as u64);
        if from.read_to_end(&mut piece)? == 0 {
            return Ok(None);
        }
        let found = self.finder.feed(&piece).into_iter().map(|found| Finding {
            file: self.file.clone(),
            line: found.line,
            value: found.value,
        });
        Ok(Some(found.collect()))
    }
}

/// Says what could not be read, and why.
fn unread(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", discreet(path))
}

/// Returns a path as it can be shown: a value in a file's name is cut to its hint.
pub(super) fn discreet(path: &Path) -> String {
    let mut shown = path.to_string_lossy().into_owned();
    for found in Finder::default().feed(shown.clone().as_bytes()) {
        shown = shown.replace(&found.value.expose(), &found.value.hint());
    }
    shown
}

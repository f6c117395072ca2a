//! Lists, page by page to their end.

use super::failure::Failure;
use super::output::escaped;
use super::progress::Progress;

/// The items of a page, at most; the server gives no more.
const PAGE: u32 = 1000;

/// How much of a list.
#[derive(Debug, clap::Args)]
pub(super) struct PageArguments {
    /// At most this many; without it, all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Go on where an earlier answer ended: its `nextPageToken`
    #[arg(long, value_name = "TOKEN")]
    page_token: Option<String>,
}

/// Items, and where to go on; empty where that was all.
#[derive(Debug)]
pub(super) struct Items<T> {
    /// The items, in the order of the list.
    pub(super) items: Vec<T>,
    /// Where to go on.
    pub(super) next_page_token: String,
}

impl PageArguments {
    /// Asks for one page after the other, until there are as many items as were asked
    /// for, or all. `ask` gets the size of a page and where it begins, and returns the
    /// page and where the next one does.
    pub(super) async fn all<T>(
        self,
        mut ask: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Failure>,
    ) -> Result<Items<T>, Failure> {
        let mut items = Vec::new();
        let mut next_page_token = self.page_token.unwrap_or_default();
        let progress = Progress::of("so far");
        let mut guard = Guard::default();
        loop {
            let had = u32::try_from(items.len()).unwrap_or(u32::MAX);
            let size = self.limit.map_or(PAGE, |limit| (limit - had).min(PAGE));
            let size = i32::try_from(size).unwrap_or(i32::MAX);
            let (page, next) = ask(size, next_page_token.clone()).await?;
            guard.go_on(&next_page_token, &next, page.len())?;
            items.extend(page);
            next_page_token = next;
            let enough = self
                .limit
                .is_some_and(|limit| items.len() as u64 >= u64::from(limit));
            if enough || next_page_token.is_empty() {
                break;
            }
            progress.at(items.len());
        }
        Ok(Items {
            items,
            next_page_token,
        })
    }
}

/// Pages that come one after the other with nothing on them, at most: a filter may leave
/// out much.
const EMPTY: u32 = 1000;

/// Ends a list that a server never would.
#[derive(Debug, Default)]
pub(super) struct Guard {
    empty: u32,
}

impl Guard {
    /// Judges a page: where it was asked for, where the next one is, how much is on it.
    pub(super) fn go_on(&mut self, asked: &str, next: &str, items: usize) -> Result<(), Failure> {
        self.empty = if items == 0 { self.empty + 1 } else { 0 };
        if !next.is_empty() && (next == asked || self.empty > EMPTY) {
            return Err(Failure::told(
                "the server's list has no end: its pages lead nowhere",
            ));
        }
        Ok(())
    }
}

/// Returns the line below a table that is not the whole list.
pub(super) fn more(next_page_token: &str) -> String {
    if next_page_token.is_empty() {
        return String::new();
    }
    format!(
        "There are more: --page-token {}\n",
        escaped(next_page_token)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for so many of a list of 2,500, whose page tokens are positions; returns the
    /// numbers of items asked for, how many there were, and where to go on.
    async fn asked(limit: Option<u32>, page_token: Option<&str>) -> (Vec<i32>, usize, String) {
        let arguments = PageArguments {
            limit,
            page_token: page_token.map(str::to_owned),
        };
        let mut sizes = Vec::new();
        let all = arguments.all(async |size, token| {
            sizes.push(size);
            let from: usize = token.parse().unwrap_or(0);
            let to = (from + usize::try_from(size).unwrap()).min(2500);
            let next = if to < 2500 {
                to.to_string()
            } else {
                String::new()
            };
            Ok(((from..to).collect(), next))
        });
        let all = all.await.unwrap();
        let from = page_token.map_or(0, |token| token.parse().unwrap());
        let expected: Vec<usize> = (from..from + all.items.len()).collect();
        assert_eq!(all.items, expected);
        (sizes, all.items.len(), all.next_page_token)
    }

    #[tokio::test]
    async fn a_list_without_an_end_is_given_up() {
        let arguments = || PageArguments {
            limit: None,
            page_token: None,
        };
        let same = arguments().all(async |_, _| Ok((vec![1], "again".to_owned())));
        assert!(same.await.unwrap_err().to_string().contains("no end"));
        let mut asked = 0;
        let empty = arguments().all(async |_, _| {
            asked += 1;
            Ok((Vec::<u8>::new(), asked.to_string()))
        });
        assert!(empty.await.unwrap_err().to_string().contains("no end"));
        assert_eq!(asked, EMPTY + 1);
    }

    #[tokio::test]
    async fn pages_are_asked_for_until_there_are_enough() {
        let none = String::new;
        assert_eq!(asked(None, None).await, (vec![1000; 3], 2500, none()));
        assert_eq!(asked(Some(10), None).await, (vec![10], 10, "10".to_owned()));
        assert_eq!(
            asked(Some(1200), None).await,
            (vec![1000, 200], 1200, "1200".to_owned())
        );
        assert_eq!(
            asked(Some(1000), Some("2000")).await,
            (vec![1000], 500, none())
        );
        assert_eq!(asked(Some(2500), None).await.2, "");
    }
}

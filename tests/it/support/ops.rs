//! What the ops port tells.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::TestServer;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks over HTTP/1.1 with these lines; returns the head, in lower case, and the body.
pub(crate) async fn ask(address: SocketAddr, lines: &[&str]) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{}\r\nhost: ops\r\n\r\n", lines.join("\r\n"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// What was told at once: the text, and the whole part of each series' number, by name
/// and labels and without the prefix `token_authority_`.
#[derive(Clone, Default)]
pub(crate) struct Scrape {
    pub(crate) text: String,
    pub(crate) series: BTreeMap<String, i64>,
}

impl Scrape {
    /// Returns a series' number, which must be there.
    pub(crate) fn of(&self, series: &str) -> i64 {
        let number = self.series.get(series);
        *number.unwrap_or_else(|| panic!("no {series} in {}", self.text))
    }

    /// Returns which series of a metric moved since, and by how much.
    pub(crate) fn moved(&self, name: &str, since: &Self) -> BTreeMap<String, i64> {
        let of_it = |series: &&String| {
            let rest = series.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        };
        let moved = self.series.keys().filter(of_it).map(|series| {
            let before = since.series.get(series).copied().unwrap_or_default();
            (series[name.len()..].to_owned(), self.of(series) - before)
        });
        moved.filter(|(_, by)| *by != 0).collect()
    }
}

impl TestServer {
    /// Asks for a path of the ops port; returns the head and the body.
    pub(crate) async fn ops(&self, path: &str) -> (String, String) {
        ask(self.ops_address, &[&format!("GET {path} HTTP/1.1")]).await
    }

    /// Reads all metrics.
    pub(crate) async fn scrape(&self) -> Scrape {
        let lines = [
            "GET /metrics HTTP/1.1",
            "accept: application/openmetrics-text; version=1.0.0",
        ];
        let (head, text) = ask(self.ops_address, &lines).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let series = series.map(|line| {
            let (series, number) = line.rsplit_once(' ').unwrap();
            let series = series.strip_prefix("token_authority_").unwrap_or(series);
            let (whole, _) = number.split_once('.').unwrap_or((number, ""));
            (series.to_owned(), whole.parse().unwrap())
        });
        let series = series.collect();
        Scrape { text, series }
    }

    /// Reads all metrics again and again until they are so.
    pub(crate) async fn scrape_until(&self, what: &str, so: impl Fn(&Scrape) -> bool) -> Scrape {
        let mut last = Scrape::default();
        let reading = async {
            loop {
                last = self.scrape().await;
                if so(&last) {
                    return;
                }
            }
        };
        let read = tokio::time::timeout(PATIENCE, reading).await;
        assert!(read.is_ok(), "never {what}: {}", last.text);
        last
    }
}

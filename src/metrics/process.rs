//! The process as the system sees it: what Linux tells in `/proc`. Elsewhere nothing
//! is known, and nothing is said.

/// What is known of the process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Process {
    /// The seconds of processors that it has used.
    pub(super) cpu_seconds: f64,
    /// When it was started, in seconds since the Unix epoch.
    pub(super) started_at: f64,
    /// The bytes of memory that it has in use.
    pub(super) resident_bytes: u64,
    /// The files and sockets that it has open.
    pub(super) open_files: u64,
    /// How many it may have open; none where there is no bound.
    pub(super) most_files: Option<u64>,
}

/// Returns what is known of this process.
#[cfg(target_os = "linux")]
pub(super) fn process() -> Option<Process> {
    use std::fs::{read_dir, read_to_string};

    let stat = read_to_string("/proc/self/stat").ok()?;
    let system = read_to_string("/proc/stat").ok()?;
    let statm = read_to_string("/proc/self/statm").ok()?;
    let limits = read_to_string("/proc/self/limits").ok()?;
    let ticks = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).ok()?);
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    // One of them is this look.
    let open = read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    let (used, started) = times(&stat)?;
    Some(Process {
        cpu_seconds: used / ticks,
        started_at: booted(&system)? + started / ticks,
        resident_bytes: resident(&statm)? * page,
        open_files: u64::try_from(open).ok()?,
        most_files: most_files(&limits),
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn process() -> Option<Process> {
    None
}

/// Returns, in ticks, what was used of processors and how long after the system the
/// process started (proc(5), `/proc/pid/stat`).
fn times(stat: &str) -> Option<(f64, f64)> {
    // The second field is a name in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some((field(14)? + field(15)?, field(22)?))
}

/// Returns when the system started, in seconds since the epoch (`/proc/stat`).
fn booted(system: &str) -> Option<f64> {
    let mut lines = system.lines();
    lines
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// Returns how many pages are in memory (`/proc/pid/statm`).
fn resident(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

/// Returns how many files may be open (`/proc/pid/limits`).
fn most_files(limits: &str) -> Option<u64> {
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_tells_is_read() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 4 0 12345 1 2 3";
        assert_eq!(times(stat), Some((300.0, 12345.0)));
        assert_eq!(times("7 (x) S 1"), None);
        assert_eq!(booted("cpu 1 2\nbtime 1700000000\n"), Some(1.7e9));
        assert_eq!(resident("100 42 7 1 0 9 0\n"), Some(42));
        let limits = "Limit   Soft  Hard\nMax open files            1024                 4096                 files\n";
        assert_eq!(most_files(limits), Some(1024));
        assert_eq!(most_files("Max open files unlimited unlimited files"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_known() {
        let known = process().unwrap();
        assert!(known.started_at > 1.6e9 && known.cpu_seconds >= 0.0);
        assert!(known.resident_bytes > 1_000_000 && known.open_files >= 3);
        assert!(known.most_files.is_none_or(|most| most >= known.open_files));
    }
}

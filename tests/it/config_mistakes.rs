//! What the program itself says to each mistake that docs/config.md tells of, and to some that
//! can't be written there.

use std::process::Command;

use token_authority::config::mistakes::{FILE, MISTAKES};

#[test]
fn each_mistake_is_answered_as_the_document_says() {
    let document = include_str!("../../docs/config.md");
    for mistake in MISTAKES {
        let directory = tempfile::tempdir().unwrap();
        let mut arguments = vec!["config", "check"];
        if !mistake.file.is_empty() {
            std::fs::write(directory.path().join(FILE), mistake.file).unwrap();
            arguments.extend(["--config", FILE]);
        }
        for (flag, _, text) in mistake.flags {
            arguments.extend([flag, text]);
        }
        let output = Command::new(env!("CARGO_BIN_EXE_token-authority"))
            .args(arguments)
            .current_dir(directory.path())
            .env_clear()
            .envs(mistake.variables.iter().copied())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{mistake:?}: {said}");
        assert!(output.stdout.is_empty());
        assert!(!said.contains("secret"), "{said}");
        let lines: Vec<_> = said
            .lines()
            .filter_map(|line| line.strip_prefix("  - "))
            .collect();
        assert!(!lines.is_empty(), "{mistake:?}: {said}");
        let row = format!("| {} |\n", lines.join("<br>").replace('|', "\\|"));
        assert!(document.contains(&row), "not in docs/config.md: {row}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_no_text_or_has_no_end_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let directory = tempfile::tempdir().unwrap();
    let variable = "TOKEN_AUTHORITY_DATABASE__URL";
    let bytes = std::ffi::OsStr::from_bytes(b"postgres://ada:secret\xff@db/tokens");
    let output = Command::new(env!("CARGO_BIN_EXE_token-authority"))
        .args(["config", "check", "--config", "/dev/zero"])
        .current_dir(directory.path())
        .env_clear()
        .env(variable, bytes)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    for line in [
        "/dev/zero: can't be read: not a regular file\n",
        "database.url: must be UTF-8 (TOKEN_AUTHORITY_DATABASE__URL)\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!said.contains("secret"), "{said}");
}

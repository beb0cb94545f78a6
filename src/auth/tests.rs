use super::*;
use std::fs::write;
use tempfile::TempDir;

/// Of low cost, so that tests are fast.
fn bcrypt(password: &str) -> String {
    bcrypt::hash(password, 4).expect("hashed")
}

fn sent(user: &str, password: &str) -> Credentials {
    Credentials {
        user: user.into(),
        password: password.into(),
    }
}

fn gate_of(lines: &str) -> (TempDir, Result<Gate, String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("users");
    write(&file, lines).expect("written");
    let access = Access {
        logins: Vec::new(),
        file: Some(file),
    };
    (directory, Gate::open(access, false))
}

fn address(number: u32) -> Option<IpAddr> {
    Some(std::net::Ipv4Addr::from_bits(number).into())
}

/// An unknown user takes the same time, since exactly one hash is computed for it as well.
#[test]
fn each_check_hashes_once_whether_there_is_such_a_user_or_not() {
    let (_file, gate) = gate_of(&format!("\u{feff}me:{}\r\n# users\n\n", bcrypt("secret")));
    let gate = gate.expect("a gate");
    for (number, (user, password, outcome)) in [
        ("me", "wrong", Outcome::Wrong),
        ("you", "wrong", Outcome::Wrong),
        ("you", "secret", Outcome::Wrong),
        ("ME", "secret", Outcome::Wrong),
        ("", "secret", Outcome::Wrong),
        ("me", "", Outcome::Wrong),
        ("me", "secret\0", Outcome::Wrong),
        ("me", "secret", Outcome::Right),
    ]
    .into_iter()
    .enumerate()
    {
        let credentials = sent(user, password);
        assert!(!gate.knows(&credentials), "{user}:{password}");
        assert_eq!(
            gate.check(&credentials, address(1)),
            outcome,
            "{user}:{password}"
        );
        assert_eq!(gate.hashed(), number as u64 + 1);
    }
    assert!(gate.knows(&sent("me", "secret")));
    assert!(!gate.knows(&sent("me", "secre")) && !gate.knows(&sent("m", "esecret")));
    assert_eq!(
        gate.check(&sent("me", "secret"), address(1)),
        Outcome::Right
    );
    assert_eq!(gate.hashed(), 8, "what is known is not hashed again");
}

#[test]
fn argon2_and_known_passwords() {
    let logins = vec!["me:secret:with:colons".parse().expect("a login")];
    let access = Access { logins, file: None };
    assert!(!format!("{access:?}").contains("secret"), "{access:?}");
    let gate = Gate::open(access, false).expect("a gate");
    assert!(!format!("{gate:?}").contains("secret"), "{gate:?}");
    let check = |password| gate.check(&sent("me", password), None);
    assert_eq!(check("secret"), Outcome::Wrong);
    assert_eq!(check("secret:with:colons"), Outcome::Right);
    // Made by argon2(1): `echo -n secret | argon2 saltsalt -id -t 1 -k 64 -e`.
    let file = "a:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$";
    let (_file, gate) = gate_of(file);
    assert!(gate.is_err(), "without a hash");
}

#[test]
fn too_many_wrong_passwords_close_the_gate_for_their_address_only() {
    let (_file, gate) = gate_of(&format!("me:{}", bcrypt("secret")));
    let gate = gate.expect("a gate");
    assert_eq!(
        gate.check(&sent("me", "secret"), address(2)),
        Outcome::Right
    );
    for _ in 0..ATTEMPTS {
        assert_eq!(gate.check(&sent("me", "wrong"), address(1)), Outcome::Wrong);
    }
    let hashed = gate.hashed();
    for password in ["wrong", "other"] {
        let outcome = gate.check(&sent("me", password), address(1));
        assert!(matches!(outcome, Outcome::TooMany(_)), "{outcome:?}");
    }
    assert_eq!(gate.hashed(), hashed, "nothing is hashed");
    assert_eq!(gate.check(&sent("me", "wrong"), address(3)), Outcome::Wrong);
    assert!(gate.knows(&sent("me", "secret")), "who was right still may");
}

#[test]
fn a_file_that_is_read_again_replaces_users_and_verdicts() {
    for forks in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("users");
        let lines = format!("me:{}\nyou:{}\n", bcrypt("secret"), bcrypt("second"));
        write(&file, &lines).expect("written");
        let access = Access {
            logins: vec!["fixed:third".parse().expect("a login")],
            file: Some(file.clone()),
        };
        let gate = Gate::open(access, forks).expect("a gate");
        let may = |user, password| {
            let credentials = sent(user, password);
            gate.knows(&credentials) || gate.check(&credentials, None) == Outcome::Right
        };
        assert!(may("me", "secret") && may("you", "second") && may("fixed", "third"));
        write(&file, "me").expect("written");
        let error = gate.read().expect_err("no hash");
        assert!(
            error.contains("users, line 1: expected user:hash"),
            "{error}"
        );
        assert!(may("me", "secret"), "the old ones stay");
        write(&file, format!("me:{}", bcrypt("new"))).expect("written");
        gate.replace(gate.read().expect("users"));
        assert!(!gate.knows(&sent("me", "secret")) && !may("me", "secret"));
        assert!(may("me", "new") && !may("you", "second") && may("fixed", "third"));
        assert_eq!(gate.users().count(), 2);
    }
}

/// Otherwise a name whose time changes would tell that nobody has it.
#[test]
fn an_unknown_name_always_takes_the_time_of_the_same_user() {
    let hashed = |number: u32| format!("u{number}:{}\n", bcrypt("secret"));
    let lines: Vec<_> = (0..8).map(hashed).collect();
    let logins = || vec!["fixed:third".parse().expect("a login")];
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("users");
    let open = |lines: &[String]| {
        write(&file, lines.concat()).expect("written");
        let file = Some(file.clone());
        let logins = logins();
        Gate::open(Access { logins, file }, false).expect("a gate")
    };
    let names: Vec<_> = (0..900).map(|number| format!("name {number}")).collect();
    let choices = |gate: &Gate| -> Vec<usize> {
        let users = gate.users();
        let choice = |name: &String| users.stand_in(name.as_bytes());
        names.iter().map(choice).collect()
    };
    let gate = open(&lines);
    let first = choices(&gate);
    gate.replace(gate.read().expect("users"));
    assert_eq!(choices(&gate), first, "read again");
    assert_eq!(choices(&open(&lines)), first, "after a restart");
    for place in 0..9 {
        let count = first.iter().filter(|&&choice| choice == place).count();
        assert!(
            (50..200).contains(&count),
            "user {place} stands in for {count}"
        );
    }
    let with_another = choices(&open(&[lines, vec![hashed(8)]].concat()));
    for (choice, before) in with_another.iter().zip(&first) {
        assert!([before, &9].contains(&choice), "{before} became {choice}");
    }
}

/// What a forked process does after its parent has replaced the users.
#[test]
fn a_process_with_old_users_reads_the_file_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("users");
    write(&file, format!("me:{}", bcrypt("secret"))).expect("written");
    let access = Access {
        logins: Vec::new(),
        file: Some(file.clone()),
    };
    let gate = Gate::open(access, true).expect("a gate");
    assert_eq!(gate.check(&sent("me", "secret"), None), Outcome::Right);
    write(&file, format!("me:{}", bcrypt("new"))).expect("written");
    gate.shared.as_ref().expect("shared").set_generation(7);
    assert!(!gate.knows(&sent("me", "secret")));
    assert_eq!(gate.check(&sent("me", "secret"), None), Outcome::Wrong);
    assert_eq!(gate.check(&sent("me", "new"), None), Outcome::Right);
    write(&file, "").expect("written");
    gate.shared.as_ref().expect("shared").set_generation(8);
    assert_eq!(gate.check(&sent("me", "new"), None), Outcome::Unknown);
}

#[test]
fn what_a_file_must_not_contain() {
    let good = bcrypt("x");
    for (lines, expected) in [
        (String::new(), "names no user"),
        ("# nobody\n\n".into(), "names no user"),
        ("me".into(), "line 1: expected user:hash"),
        (format!(":{good}"), "expected user:hash"),
        (
            format!("me:{good}\nme:{good}"),
            "line 2: there are two users me",
        ),
        ("me:secret".into(), "neither argon2"),
        ("me:$apr1$x$y".into(), "`htpasswd -nB NAME` makes one"),
        ("me:{SHA}x".into(), "neither argon2"),
        ("me:$2y$05$short".into(), "bcrypt hash is not valid"),
        (
            format!("me:{}", good.replace("$04$", "$31$")),
            "is not from 4 to 14",
        ),
        (
            "me:$argon2id$v=19$m=1048576,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA".into(),
            "256 MiB",
        ),
        (
            "me:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ".into(),
            "not complete",
        ),
        ("x".repeat(MAX_FILE + 1), "more than 1048576 bytes"),
    ] {
        let (_file, gate) = gate_of(&lines);
        let error = gate.map(drop).expect_err(&lines[..lines.len().min(60)]);
        assert!(error.contains(expected), "{error}");
    }
    let access = Access {
        logins: Vec::new(),
        file: Some("/none".into()),
    };
    let error = Gate::open(access, false).map(drop).expect_err("no file");
    assert!(error.contains("cannot read /none"), "{error}");
}

#[test]
fn credentials_are_what_an_honest_client_sends() {
    let read = |value: &str| {
        let pair = Credentials::basic(value.as_bytes())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((text(&pair.user), text(&pair.password)))
    };
    let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
    for (value, expected) in [
        ("Basic bWU6c2VjcmV0", pair("me", "secret")),
        ("bASIC   bWU6c2VjcmV0", pair("me", "secret")),
        ("Basic bWU6czpj", pair("me", "s:c")),
        ("Basic Og==", pair("", "")),
        ("Basic dGVzdDoxMjPCow==", pair("test", "123\u{a3}")),
        ("Basic", None),
        ("Basic ", None),
        ("BasicbWU6c2VjcmV0", None),
        ("Basic\tbWU6c2VjcmV0", None),
        ("Basic bWU6c2VjcmV0 ", None),
        ("Basic bWU6c2VjcmV0,", None),
        ("Basic bWU6c2VjcmV0=", None),
        ("Basic bWU6 c2VjcmV0", None),
        ("Basic Og", None),
        ("Basic Oh==", None),
        ("Basic bWU=", None),
        ("Basic bWU6AA==", None),
        ("Basic bWU6Cg==", None),
        ("Bearer bWU6c2VjcmV0", None),
        ("Digest username=\"me\"", None),
        ("", None),
    ] {
        assert_eq!(read(value), expected, "{value:?}");
    }
}

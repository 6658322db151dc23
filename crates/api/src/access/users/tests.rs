//! Users: the file, and what may be changed.

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn users() -> (tempfile::TempDir, Users) {
    let directory = tempfile::tempdir().unwrap();
    let users = Users::of(directory.path().join("users.json")).unwrap();
    (directory, users)
}

async fn add(users: &Users, name: &str, role: Role) -> Result<(), Refusal> {
    users.change(|book| book.add(name, role, format!("$argon2id${name}"), NOW)).await
}

fn error<T>(outcome: Result<T, Refusal>) -> String {
    outcome.err().unwrap().problem.error
}

#[tokio::test]
async fn users_outlive_the_agent_in_a_file_that_its_owner_alone_can_read() {
    let (directory, users) = users();
    assert!(users.is_empty());
    add(&users, "bob", Role::Viewer).await.unwrap();
    add(&users, "ada", Role::Admin).await.unwrap();
    let file = directory.path().join("users.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    let again = Users::of(file).unwrap();
    assert_eq!(again.page(), users.page());
    let names: Vec<String> = again.page().users.into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["ada", "bob"]);
    assert_eq!(again.kept("ada"), Some(("$argon2id$ada".to_owned(), Role::Admin)));
}

#[tokio::test]
async fn a_file_that_others_can_read_or_that_is_garbled_is_refused_and_left_alone() {
    let (directory, users) = users();
    add(&users, "ada", Role::Admin).await.unwrap();
    let file = directory.path().join("users.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let opened = Users::of(file.clone()).err().unwrap();
    assert!(matches!(opened, UsersError::Open { mode: 0o640, .. }), "{opened}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    for (text, is_version) in [("{", false), ("{\"version\":1}", false), ("{\"version\":2,\"users\":[]}", true)] {
        fs::write(&file, text).unwrap();
        let error = Users::of(file.clone()).err().unwrap();
        assert_eq!(matches!(error, UsersError::Version { .. }), is_version, "{error}");
        let broken = Users::broken(&error);
        assert!(broken.is_empty());
        assert_eq!(self::error(add(&broken, "eve", Role::Admin).await), "users_broken");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}

#[tokio::test]
async fn what_cannot_be_written_does_not_hold() {
    let (directory, users) = users();
    add(&users, "ada", Role::Admin).await.unwrap();
    // A directory in the place of the new file cannot be removed as a file is, whoever asks.
    fs::create_dir(directory.path().join("users.new")).unwrap();
    assert_eq!(error(add(&users, "bob", Role::Viewer).await), "users_not_kept");
    assert_eq!(users.kept("bob"), None);
    assert_eq!(Users::of(directory.path().join("users.json")).unwrap().page().users.len(), 1);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let (_directory, users) = users();
    add(&users, "ada", Role::Admin).await.unwrap();
    add(&users, "bob", Role::Operator).await.unwrap();
    assert_eq!(error(users.change(|book| book.remove("ada")).await), "last_admin");
    assert_eq!(error(users.change(|book| book.set_role("ada", Role::Operator)).await), "last_admin");
    users.change(|book| book.set_role("ada", Role::Admin)).await.unwrap();
    users.change(|book| book.set_role("bob", Role::Admin)).await.unwrap();
    users.change(|book| book.remove("ada")).await.unwrap();
    assert_eq!(error(users.change(|book| book.remove("bob")).await), "last_admin");
    assert_eq!(error(users.change(|book| book.remove("ada")).await), "unknown_user");
}

#[tokio::test]
async fn names_are_plain_and_each_is_one_users() {
    let (_directory, users) = users();
    add(&users, "ada@example.org", Role::Admin).await.unwrap();
    assert_eq!(error(add(&users, "Ada@example.org", Role::Viewer).await), "user_exists");
    for name in ["", "root (host)", "-ada", "a b", "ä", "a\n", &"x".repeat(65)] {
        assert_eq!(error(add(&users, name, Role::Viewer).await), "bad_name", "{name}");
    }
}

#[tokio::test]
async fn a_token_is_its_users_until_it_is_taken_away_and_is_not_kept_itself() {
    let (directory, users) = users();
    add(&users, "ada", Role::Operator).await.unwrap();
    let issued = users.change(|book| book.add_token("ada", " prometheus ", NOW)).await.unwrap();
    let file = directory.path().join("users.json");
    assert!(!fs::read_to_string(&file).unwrap().contains(&issued.token));
    let held = users.holder(&issued.token, NOW).unwrap();
    assert_eq!((held.name.as_str(), held.role, &held.token, held.is_news), ("ada", Role::Operator, &issued.id, true));
    let soon = users.holder(&issued.token, NOW + Duration::from_secs(10)).unwrap();
    assert!(!soon.is_news, "not each use is a write");
    assert!(users.holder(&issued.token, NOW + LAST_USED_EVERY).unwrap().is_news);
    let [ada] = &users.page().users[..] else { panic!("one user") };
    assert_eq!(ada.tokens[0].label, "prometheus");
    assert_eq!(ada.tokens[0].last_used, Some(rfc3339(NOW + LAST_USED_EVERY)));
    assert_eq!(users.holder(&issued.token.replace("hwt_", "hwt_0"), NOW), None);
    assert_eq!(users.holder("", NOW), None);
    assert_eq!(error(users.change(|book| book.add_token("ada", " ", NOW)).await), "bad_name");
    assert_eq!(error(users.change(|book| book.remove_token("ada", "0")).await), "unknown_token");
    users.change(|book| book.remove_token("ada", &issued.id)).await.unwrap();
    assert_eq!(users.holder(&issued.token, NOW), None);
}

#[tokio::test]
async fn there_is_room_for_so_many_and_no_more() {
    let (_directory, users) = users();
    add(&users, "ada", Role::Admin).await.unwrap();
    let many = |book: &mut Book| {
        for n in 0..USER_TOKENS_MAX {
            book.add_token("ada", &n.to_string(), NOW)?;
        }
        (1..USERS_MAX).try_for_each(|n| book.add(&format!("u{n}"), Role::Viewer, String::new(), NOW))
    };
    users.change(many).await.unwrap();
    assert_eq!(error(users.change(|book| book.add_token("ada", "more", NOW)).await), "too_many_tokens");
    assert_eq!(error(add(&users, "more", Role::Viewer).await), "too_many_users");
}

#[tokio::test]
async fn without_a_place_there_are_no_users() {
    assert_eq!(error(add(&Users::default(), "ada", Role::Admin).await), "no_users_here");
}

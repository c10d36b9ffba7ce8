use super::*;
use sys::socket::{Kind, pair};

const FILE_HASHES: [(&str, &[u8]); 1] = [("ann@a.test", b"right")];

pub(super) async fn with_auth(
    story: impl AsyncFnOnce(Rc<Auth>, Sender<Question>, Receiver<Checked>),
) {
    let local = tokio::task::LocalSet::new();
    let (ours, theirs) = pair(Kind::Stream).unwrap();
    let story = async move {
        let auth = Rc::new(Auth::new(Checkers::start().unwrap()));
        auth.open(theirs).unwrap();
        let (ask, answers) = arrow::open(ours).unwrap();
        story(auth, ask, answers).await;
    };
    local.run_until(story).await;
}

fn file() -> File {
    use std::io::Write as _;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for (user, password) in FILE_HASHES {
        let hash = crate::passwords::hash(password);
        writeln!(file, "{user}:{}", *hash).unwrap();
    }
    File::open(file.path()).unwrap()
}

pub(super) fn give_key(auth: &Auth) {
    let key = crate::seal::Key::new([1; crate::seal::KEY_OCTETS]);
    auth.tickets.replace(Some(Rc::new(Tickets::new(&key))));
}

pub(super) fn question(user: &str) -> Question {
    Question {
        token: 5,
        session: 7,
        peer: [192, 0, 2, 7].into(),
        user: user.into(),
        evidence: Evidence::Password,
    }
}

pub(super) async fn found(
    ask: &Sender<Question>,
    answers: &mut Receiver<Checked>,
    user: &str,
    password: &[u8],
) -> Found {
    ask.say(&question(user), password, None).unwrap();
    let checked = answers.hear().await.unwrap().head;
    assert_eq!(checked.token, 5);
    checked.found
}

#[tokio::test]
async fn without_a_file_or_a_key_nobody_is_logged_in_and_may_try_later() {
    with_auth(async |auth, ask, mut answers| {
        let later = Found::Later;
        assert_eq!(
            found(&ask, &mut answers, "ann@a.test", b"right").await,
            later
        );
        auth.load(Some(file())).unwrap();
        assert_eq!(
            found(&ask, &mut answers, "ann@a.test", b"right").await,
            later
        );
        give_key(&auth);
        let right = found(&ask, &mut answers, "ann@a.test", b"right").await;
        assert!(matches!(right, Found::Right(_)), "{right:?}");
        auth.load(None).unwrap();
        assert_eq!(
            found(&ask, &mut answers, "ann@a.test", b"right").await,
            later
        );
    })
    .await;
}

#[tokio::test]
async fn a_file_of_no_use_leaves_what_was_loaded() {
    with_auth(async |auth, ask, mut answers| {
        give_key(&auth);
        auth.load(Some(file())).unwrap();
        let mut bad = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut bad, b"ann@a.test:secret\n").unwrap();
        let bad = File::open(bad.path()).unwrap();
        let why = auth.load(Some(bad)).unwrap_err();
        assert!(why.contains('1') && !why.contains("secret"), "{why}");
        let right = found(&ask, &mut answers, "ann@a.test", b"right").await;
        assert!(matches!(right, Found::Right(_)), "{right:?}");
    })
    .await;
}

#[tokio::test]
async fn who_guesses_hears_later_in_the_end_and_who_was_right_before_does_not() {
    with_auth(async |auth, ask, mut answers| {
        give_key(&auth);
        auth.load(Some(file())).unwrap();
        let right = found(&ask, &mut answers, "ann@a.test", b"right").await;
        assert!(matches!(right, Found::Right(_)), "{right:?}");
        let mut wrong = 0;
        while found(&ask, &mut answers, "nobody@a.test", b"right").await == Found::Wrong {
            wrong += 1;
            assert!(wrong < 100);
        }
        let right = found(&ask, &mut answers, "ann@a.test", b"right").await;
        assert!(matches!(right, Found::Right(_)), "{right:?}");
        let right = found(&ask, &mut answers, "\"ANN\"@A.TEST", b"right").await;
        assert!(matches!(right, Found::Right(_)), "one name: {right:?}");
        // What is wrong has the answer of its network.
        let wrong = found(&ask, &mut answers, "ann@a.test", b"guess").await;
        assert_eq!(wrong, Found::Later);
    })
    .await;
}

#[test]
fn a_network_and_all_have_bounds_of_what_waits() {
    let waiting = RefCell::default();
    let from = |n: u8| IpAddr::from([10, 0, 0, n]);
    let of_one: Vec<_> = (0..2 * WAITING_OF_ONE)
        .filter_map(|_| Waits::begin(&waiting, from(1), WAITING))
        .collect();
    assert_eq!(of_one.len(), WAITING_OF_ONE);
    let others: Vec<_> = (2..=u8::MAX)
        .filter_map(|n| Waits::begin(&waiting, from(n), WAITING - KEPT))
        .collect();
    assert_eq!(of_one.len() + others.len(), WAITING - KEPT);
    assert!(Waits::begin(&waiting, from(2), WAITING - KEPT).is_none());
    let kept = Waits::begin(&waiting, from(2), WAITING);
    assert!(kept.is_some());
    drop((of_one, others, kept));
    assert!(waiting.borrow().is_empty());
}

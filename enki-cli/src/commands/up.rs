//! `enki up`: drives several projects at once, for as long as it is let.

use super::Context;
use super::run::configured;
use crate::args::Overrides;
use crate::drive::Signals;
use crate::error::CliError;
use crate::exit::Exit;
use crate::queue::driven::{Driven, News};
use crate::registry::{Registered, Registry, Stamp};
use crate::rpc::{Client, Life};
use crate::wire;
use enki_core::driver::Shutdown;
use enki_core::retry::backoff;
use enki_core::time::Timestamp;
use enki_vcs_git::GitProject;
use serde_json::json;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, Sleep, interval, sleep};

/// The projects, and the list that they are of.
struct Up {
    registry: Registry,
    /// How the list's file stood when it was read; none if it is to be read again.
    seen: Option<Stamp>,
    /// Those that were named; if none was, all of the list, also as it changes.
    names: Vec<String>,
    all: Vec<One>,
}

/// A project, and who drives it.
struct One {
    id: String,
    entry: Registered,
    state: State,
    /// It is not in the list any more, or elsewhere; it is let go once it has ended.
    leaves: bool,
    /// Since when it is driven, by whomever.
    taken: Option<Timestamp>,
    /// How often in a row it could not be driven.
    failures: u32,
    /// The error that was said last.
    said: Option<String>,
}

enum State {
    /// This process.
    Here(Box<Driven>),
    /// Another one, as long as it lives.
    There(Life),
    /// Nobody: it could not be. It is tried again after that.
    Broken(Pin<Box<Sleep>>),
    /// Nobody any more.
    Over,
}

enum What {
    News(News),
    /// Whoever drove it has ended, or one that could not be driven is tried again.
    Free,
}

pub(super) async fn run(cx: &mut Context, names: &[String]) -> Result<Exit, CliError> {
    let mut signals = Signals::new()?;
    let mut up = Up::start(cx, names).await?;
    cx.out.note("up: what is due is started as it comes; Ctrl-C ends it");
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut interrupted = None;
    while up.goes_on(interrupted.is_some()) {
        tokio::select! {
            (what, n) = first(&mut up.all) => up.heard(cx, n, what, interrupted.is_some()).await,
            _ = looks.tick() => {}
            signal = signals.next() => {
                let how = if interrupted.is_none() { Shutdown::Drain } else { Shutdown::Kill };
                if how == Shutdown::Drain {
                    cx.out.note("stopping: nothing new starts, running steps end; once more stops them now");
                }
                up.all.iter_mut().for_each(|one| one.shut_down(how));
                interrupted.get_or_insert(signal);
            }
        }
        if interrupted.is_none() {
            up.look(cx).await;
        }
    }
    Ok(interrupted.unwrap_or(Exit::Ok))
}

/// What happens first, and to which.
async fn first(all: &mut [One]) -> (What, usize) {
    let mut all: Vec<Pin<Box<dyn Future<Output = What> + '_>>> =
        all.iter_mut().map(|one| Box::pin(one.next()) as Pin<Box<dyn Future<Output = What>>>).collect();
    std::future::poll_fn(|cx| {
        let ready = all.iter_mut().enumerate().find_map(|(n, next)| match next.as_mut().poll(cx) {
            Poll::Ready(what) => Some((what, n)),
            Poll::Pending => None,
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

impl Up {
    /// Begins with all that can be driven. If none can, that is an error.
    async fn start(cx: &mut Context, names: &[String]) -> Result<Self, CliError> {
        let seen = Registry::stamp(&cx.host);
        let registry = Registry::load(&cx.host)?;
        if let Some(unknown) = names.iter().find(|name| !registry.projects.contains_key(*name)) {
            registry.root(unknown)?;
        }
        let mut up = Self { registry, seen: Some(seen), names: names.to_vec(), all: Vec::new() };
        for (id, entry) in &up.registry.projects {
            if up.wants(id) {
                up.all.push(One::new(id, entry));
            }
        }
        if up.all.is_empty() {
            return Err(CliError::usage("no project is known").hint("`enki projects add DIR` adds one"));
        }
        let mut broken = Vec::new();
        for (n, one) in up.all.iter_mut().enumerate() {
            if let Err(error) = one.take(cx, &up.registry).await {
                broken.push((n, error));
            }
        }
        if broken.len() < up.all.len() {
            broken.into_iter().for_each(|(n, error)| up.all[n].broke(cx, error));
            return Ok(up);
        }
        if broken.len() > 1 {
            let exits: Vec<Exit> = broken.iter().map(|(_, error)| error.exit).collect();
            broken.into_iter().for_each(|(n, error)| tell(cx, Some(&up.all[n].id), error));
            let exit = SEVERAL.into_iter().find(|exit| exits.contains(exit)).unwrap_or(exits[0]);
            return Err(CliError::new(exit, format!("none of the {} projects can be driven", exits.len()))
                .hint("put right what is said of one of them; then the others are tried again as well"));
        }
        match broken.pop() {
            Some((n, error)) => Err(named(&up.all[n].id, error)),
            None => Ok(up),
        }
    }

    /// Whether a project of the list is one of those.
    fn wants(&self, id: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| name == id)
    }

    /// Whether anything may happen yet. A list that is empty now may have one later.
    fn goes_on(&self, interrupted: bool) -> bool {
        let listens = self.names.is_empty() && self.all.is_empty() && !interrupted;
        listens || self.all.iter().any(|one| !matches!(one.state, State::Over))
    }

    /// What that means for the project.
    async fn heard(&mut self, cx: &mut Context, n: usize, what: What, interrupted: bool) {
        let one = &mut self.all[n];
        match what {
            What::News(News::Moved(lines)) => lines.iter().for_each(|line| line.show(&mut cx.out, Some(&one.id))),
            What::News(News::Ended(ended)) => {
                if let State::Here(driven) = &mut one.state {
                    driven.close();
                }
                one.state = State::Over;
                match ended {
                    Ok(()) => {}
                    Err(error) if interrupted || one.leaves => tell(cx, Some(&one.id), error),
                    Err(error) => one.broke(cx, error),
                }
            }
            What::Free if interrupted => one.state = State::Over,
            What::Free => one.begin(cx, &self.registry).await,
        }
    }

    /// Looks whether the list has changed since, and goes by it.
    async fn look(&mut self, cx: &mut Context) {
        let before = self.all.len();
        self.all.retain(|one| !(one.leaves && matches!(one.state, State::Over)));
        if self.all.len() < before {
            // It may be in the list again.
            self.seen = None;
        }
        let stamp = Registry::stamp(&cx.host);
        if self.seen.as_ref() == Some(&stamp) {
            return;
        }
        let is_there = stamp.is_there();
        self.seen = Some(stamp);
        match Registry::load(&cx.host) {
            Ok(registry) if is_there => self.registry = registry,
            // Somebody is about to write it, or it is out of reach: that is no word about any project.
            Ok(_) => return cx.out.say("warning: the list of projects is not there; all that are driven stay"),
            Err(error) => {
                let message = format!("{}; all that are driven stay", error.message);
                return tell(cx, None, CliError { message, ..error });
            }
        }
        self.follow(cx).await;
        if self.all.is_empty() {
            cx.out.note("no project is known any more; it waits for one: `enki projects add DIR` adds one");
        }
    }

    /// Lets go what is not in the list any more, takes what is new in it, and tries again what it says something else of.
    async fn follow(&mut self, cx: &mut Context) {
        for one in &mut self.all {
            match self.registry.projects.get(&one.id) {
                Some(entry) if entry.root == one.entry.root => {
                    if one.entry != *entry {
                        one.entry = entry.clone();
                        if matches!(one.state, State::Broken(_)) {
                            one.failures = 0;
                            one.begin(cx, &self.registry).await;
                        }
                    }
                }
                _ => one.let_go(cx),
            }
        }
        self.all.retain(|one| !(one.leaves && matches!(one.state, State::Over)));
        for (id, entry) in &self.registry.projects {
            if self.wants(id) && self.all.iter().all(|one| one.id != *id) {
                let mut one = One::new(id, entry);
                one.begin(cx, &self.registry).await;
                self.all.push(one);
            }
        }
    }
}

impl One {
    fn new(id: &str, entry: &Registered) -> Self {
        Self {
            id: id.to_owned(),
            entry: entry.clone(),
            state: State::Over,
            leaves: false,
            taken: None,
            failures: 0,
            said: None,
        }
    }

    /// Takes it, or tries that again later.
    async fn begin(&mut self, cx: &mut Context, registry: &Registry) {
        if let Err(error) = self.take(cx, registry).await {
            self.broke(cx, error);
        }
    }

    /// Drives it, or waits beside whoever does.
    async fn take(&mut self, cx: &mut Context, registry: &Registry) -> Result<(), CliError> {
        self.state = State::Over;
        let git = wire::git(registry.root(&self.id)?, &cx.host)?;
        for _ in 0..PATIENCE {
            match self.take_now(cx, &git).await {
                // Whoever has just taken the lock will listen in a moment, or give it back.
                Err(error) if error.exit == Exit::Locked => sleep(BETWEEN).await,
                taken => return taken,
            }
        }
        self.take_now(cx, &git).await
    }

    async fn take_now(&mut self, cx: &mut Context, git: &GitProject) -> Result<(), CliError> {
        if let Some(client) = Client::connect(&git.enki_dir()).await? {
            let (_, life) = client.begin(None).await?;
            cx.out.note(&format!("{}: another process drives it; it is taken over when that ends", self.id));
            self.state = State::There(life);
        } else {
            let config = configured(cx, git, &Overrides::default())?;
            self.state = State::Here(Box::new(Driven::start(cx, git, &config).await?));
            cx.out.note(&format!("{}: driven here, at {}", self.id, self.entry.root.display()));
        }
        (self.taken, self.said) = (Some(cx.host.now()), None);
        Ok(())
    }

    /// It cannot be driven, or not any more: it is tried again, the later the more often it failed.
    fn broke(&mut self, cx: &mut Context, error: CliError) {
        let lasted = self.taken.take().map(|taken| cx.host.now().since(taken));
        self.failures = if lasted.is_some_and(|lasted| lasted > LASTING) { 1 } else { self.failures.saturating_add(1) };
        let seed = self.id.bytes().map(u64::from).sum();
        self.state = State::Broken(Box::pin(sleep(backoff(&WAITS, self.failures, seed))));
        if self.said.as_ref() != Some(&error.message) {
            self.said = Some(error.message.clone());
            tell(cx, Some(&self.id), error);
            cx.out.note(&format!("{}: it is tried again, with waits that grow, and when its entry changes", self.id));
        }
    }

    /// Nothing new starts in it any more; it is let go when nothing runs.
    fn let_go(&mut self, cx: &mut Context) {
        if !self.leaves {
            self.leaves = true;
            let then =
                if matches!(self.state, State::Here(_)) { "; nothing new starts, running steps end" } else { "" };
            cx.out.note(&format!("{}: the list of projects does not have it there any more{then}", self.id));
            self.shut_down(Shutdown::Drain);
        }
    }

    /// What happens next. May be dropped and asked again.
    async fn next(&mut self) -> What {
        match &mut self.state {
            State::Here(driven) => What::News(driven.next().await),
            State::There(life) => {
                life.over().await;
                What::Free
            }
            State::Broken(wait) => {
                wait.await;
                What::Free
            }
            State::Over => std::future::pending().await,
        }
    }

    fn shut_down(&mut self, how: Shutdown) {
        match &self.state {
            State::Here(driven) => driven.shut_down(how),
            // Another process goes on.
            State::There(_) | State::Broken(_) => self.state = State::Over,
            State::Over => {}
        }
    }
}

/// Says an error, as one of that project, on stderr; with `--json` it is an object too.
fn tell(cx: &mut Context, project: Option<&str>, error: CliError) {
    if cx.out.json {
        let mut object = error.to_json();
        object["project"] = json!(project);
        // A reader that went away stops nothing (bad input 9).
        drop(cx.out.object(&object));
    }
    let error = match project {
        Some(id) => named(id, error),
        None => error,
    };
    cx.out.say(error.render(cx.out.color).trim_end());
}

fn named(id: &str, error: CliError) -> CliError {
    CliError { message: format!("{id}: {}", error.message), ..error }
}

/// How often, and after how long, a lock is tried again that was just taken: 5 seconds.
const PATIENCE: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(50);

/// How long one waits that could not be driven.
const WAITS: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
];

/// One that was driven for that long begins with the first wait again.
const LASTING: Duration = Duration::from_secs(600);

/// When the list's file is looked at if nothing happens; otherwise it is whenever something does.
const LOOK: Duration = Duration::from_secs(30);

/// Which code counts of several.
const SEVERAL: [Exit; 6] =
    [Exit::Store, Exit::Locked, Exit::WouldLoseWork, Exit::Environment, Exit::Failed, Exit::NeedsPerson];

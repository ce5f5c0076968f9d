//! `enki up`: drives several projects at once, for as long as it is let.

use super::Context;
use super::run::configured;
use crate::args::Overrides;
use crate::drive::Signals;
use crate::error::CliError;
use crate::exit::Exit;
use crate::queue::driven::{Driven, News};
use crate::registry::Registry;
use crate::rpc::{Client, Life};
use crate::wire;
use enki_core::driver::Shutdown;
use enki_vcs_git::GitProject;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;

/// A project, and who drives it.
struct One {
    id: String,
    root: PathBuf,
    state: State,
}

enum State {
    /// This process.
    Here(Box<Driven>),
    /// Another one, as long as it lives.
    There(Life),
    /// Nobody any more.
    Over,
}

enum What {
    News(News),
    /// Whoever drove it has ended.
    Free,
}

pub(super) async fn run(cx: &mut Context, names: &[String]) -> Result<Exit, CliError> {
    let registry = Registry::load(&cx.host)?;
    let names: Vec<&str> = match names {
        [] => registry.projects.keys().map(String::as_str).collect(),
        names => names.iter().map(String::as_str).collect(),
    };
    if names.is_empty() {
        return Err(CliError::usage("no project is known").hint("`enki projects add DIR` adds one"));
    }
    let mut signals = Signals::new()?;
    let mut all = Vec::new();
    for id in names {
        all.push(One { id: id.to_owned(), root: registry.root(id)?.to_owned(), state: State::Over });
    }
    for one in &mut all {
        one.take(cx).await?;
    }
    cx.out.note("up: what is due is started as it comes; Ctrl-C ends it");
    let (mut interrupted, mut worst) = (None, None);
    while all.iter().any(|one| !matches!(one.state, State::Over)) {
        let (what, n) = tokio::select! {
            first = first(&mut all) => first,
            signal = signals.next() => {
                let how = if interrupted.is_none() { Shutdown::Drain } else { Shutdown::Kill };
                if how == Shutdown::Drain {
                    cx.out.note("stopping: nothing new starts, running steps end; once more stops them now");
                }
                all.iter_mut().for_each(|one| one.shut_down(how));
                interrupted.get_or_insert(signal);
                continue;
            }
        };
        let one = &mut all[n];
        match what {
            What::News(News::Moved(lines)) => lines.iter().for_each(|line| line.show(&mut cx.out, Some(&one.id))),
            What::News(News::Ended(lines, ended)) => {
                lines.iter().for_each(|line| line.show(&mut cx.out, Some(&one.id)));
                if let State::Here(driven) = &mut one.state {
                    driven.close();
                }
                one.state = State::Over;
                if let Err(error) = ended {
                    cx.out.say(&format!("error: {}: {}", one.id, error.message));
                    worst.get_or_insert(error.exit);
                }
            }
            What::Free if interrupted.is_some() => one.state = State::Over,
            What::Free => {
                if let Err(error) = one.take(cx).await {
                    cx.out.say(&format!("error: {}: {}", one.id, error.message));
                    worst.get_or_insert(error.exit);
                }
            }
        }
    }
    Ok(interrupted.or(worst).unwrap_or(Exit::Ok))
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

impl One {
    /// Drives it, or waits beside whoever does.
    async fn take(&mut self, cx: &mut Context) -> Result<(), CliError> {
        self.state = State::Over;
        let git = wire::git(&self.root, &cx.host)?;
        for _ in 0..PATIENCE {
            match self.take_now(cx, &git).await {
                // Whoever has just taken the lock will listen in a moment, or give it back.
                Err(error) if error.exit == Exit::Locked => tokio::time::sleep(BETWEEN).await,
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
            return Ok(());
        }
        let config = configured(cx, git, &Overrides::default())?;
        self.state = State::Here(Box::new(Driven::start(cx, git, &config).await?));
        cx.out.note(&format!("{}: driven here, at {}", self.id, self.root.display()));
        Ok(())
    }

    /// What happens next. May be dropped and asked again.
    async fn next(&mut self) -> What {
        match &mut self.state {
            State::Here(driven) => What::News(driven.next().await),
            State::There(life) => {
                life.over().await;
                What::Free
            }
            State::Over => std::future::pending().await,
        }
    }

    fn shut_down(&mut self, how: Shutdown) {
        match &self.state {
            State::Here(driven) => driven.shut_down(how),
            // It goes on.
            State::There(_) => self.state = State::Over,
            State::Over => {}
        }
    }
}

/// How often, and after how long, a lock is tried again that was just taken: 5 seconds.
const PATIENCE: u32 = 100;
const BETWEEN: std::time::Duration = std::time::Duration::from_millis(50);

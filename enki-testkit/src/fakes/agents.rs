//! `FakeAgents`: agents that follow a script.

use enki_core::agent::{AgentEnd, AgentError, AgentEvent, AgentExit, AgentRunner, AgentSession, AgentSpec, Usage};
use enki_core::async_trait;
use enki_core::id::EffectId;
use enki_core::tier::Purpose;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// An [`AgentRunner`] whose agents follow scripts, in virtual time if the runtime's clock is paused.
///
/// Clones share everything, as hosts share a machine: what one started, another can [`attach`](AgentRunner::attach)
/// to, which ends it.
#[derive(Clone)]
pub struct FakeAgents {
    hands: Arc<dyn Hands>,
    state: Arc<Mutex<State>>,
}

/// What a script's edits are done with.
pub trait Hands: Send + Sync {
    /// Writes a file below a workspace, or deletes it if there is no content.
    ///
    /// # Errors
    ///
    /// Why it could not be done.
    fn edit(&self, workspace: &Path, path: &str, content: Option<&str>) -> std::io::Result<()>;
}

/// What an agent does: some acts, and an end.
#[derive(Clone, Debug)]
#[must_use]
pub struct Script {
    acts: VecDeque<Act>,
    end: Ending,
    polite: bool,
}

#[derive(Clone, Debug)]
enum Act {
    Emit(AgentEvent),
    Wait(Duration),
    Edit { path: String, content: Option<String> },
}

#[derive(Clone, Debug)]
enum Ending {
    End(Box<AgentEnd>),
    Never { chatter: Option<Duration> },
    CannotStart { reason: String, transient: bool },
}

impl Script {
    /// Ends well with that final message.
    pub fn success(text: impl Into<String>) -> Self {
        Self::end(AgentEnd::new(AgentExit::Success).with_text(text))
    }

    /// Ends so.
    pub fn end(end: AgentEnd) -> Self {
        Self { acts: VecDeque::new(), end: Ending::End(Box::new(end)), polite: true }
    }

    /// Never ends by itself, and gives no sign of life.
    pub fn forever() -> Self {
        Self { end: Ending::Never { chatter: None }, ..Self::success("") }
    }

    /// Never ends by itself, and puts something out each time that long passed.
    pub fn chatter(every: Duration) -> Self {
        Self { end: Ending::Never { chatter: Some(every) }, ..Self::success("") }
    }

    /// Cannot be started.
    pub fn cannot_start(reason: impl Into<String>, transient: bool) -> Self {
        Self { end: Ending::CannotStart { reason: reason.into(), transient }, ..Self::success("") }
    }

    /// Puts out text.
    pub fn say(mut self, text: impl Into<String>) -> Self {
        self.acts.push_back(Act::Emit(AgentEvent::Text(text.into())));
        self
    }

    /// Puts out a piece of a text that comes whole later.
    pub fn begin(mut self, piece: impl Into<String>) -> Self {
        self.acts.push_back(Act::Emit(AgentEvent::Partial(piece.into())));
        self
    }

    /// Tells what it is doing.
    pub fn activity(mut self, text: impl Into<String>) -> Self {
        self.acts.push_back(Act::Emit(AgentEvent::Activity(text.into())));
        self
    }

    /// Tells what it used up to now.
    pub fn uses(mut self, usage: Usage) -> Self {
        self.acts.push_back(Act::Emit(AgentEvent::Used(usage)));
        self
    }

    /// Waits without a sign of life.
    pub fn wait(mut self, time: Duration) -> Self {
        self.acts.push_back(Act::Wait(time));
        self
    }

    /// Writes a file in its workspace.
    pub fn write(mut self, path: impl Into<String>, content: impl Into<String>) -> Self {
        self.acts.push_back(Act::Edit { path: path.into(), content: Some(content.into()) });
        self
    }

    /// Deletes a file in its workspace.
    pub fn delete(mut self, path: impl Into<String>) -> Self {
        self.acts.push_back(Act::Edit { path: path.into(), content: None });
        self
    }

    /// Ignores a polite request to stop.
    pub fn ignoring_polite_stops(mut self) -> Self {
        self.polite = false;
        self
    }
}

type Fallback = Box<dyn FnMut(&AgentSpec) -> Script + Send>;

struct State {
    scripts: HashMap<(String, Purpose), VecDeque<Script>>,
    fallback: Fallback,
    started: Vec<AgentSpec>,
    /// Each living agent, and how to tell its session that somebody else ended it.
    living: HashMap<EffectId, watch::Sender<bool>>,
}

impl fmt::Debug for FakeAgents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let living: Vec<_> = state.living.keys().collect();
        f.debug_struct("FakeAgents").field("scripts", &state.scripts).field("living", &living).finish_non_exhaustive()
    }
}

impl FakeAgents {
    /// Agents that edit by those hands. Without a script workers write a file named like their step, and reviewers
    /// pass.
    #[must_use]
    pub fn new(hands: impl Hands + 'static) -> Self {
        let state =
            State { scripts: HashMap::new(), fallback: Box::new(willing), started: Vec::new(), living: HashMap::new() };
        Self { hands: Arc::new(hands), state: Arc::new(Mutex::new(state)) }
    }

    /// Agents that edit files on disk, for real workspaces.
    #[must_use]
    pub fn on_disk() -> Self {
        Self::new(OnDisk)
    }

    /// The next attempt of that step and purpose that has no script yet follows this one. The last one given for a
    /// step and purpose serves all further attempts too.
    pub fn script(&self, step: &str, purpose: Purpose, script: Script) -> &Self {
        self.state().scripts.entry((step.to_owned(), purpose)).or_default().push_back(script);
        self
    }

    /// Attempts of steps and purposes without a script follow what this gives.
    pub fn otherwise(&self, fallback: impl FnMut(&AgentSpec) -> Script + Send + 'static) -> &Self {
        self.state().fallback = Box::new(fallback);
        self
    }

    /// All attempts that were started, in order.
    #[must_use]
    pub fn started(&self) -> Vec<AgentSpec> {
        self.state().started.clone()
    }

    /// Whether the agent of that attempt lives.
    #[must_use]
    pub fn lives(&self, attempt: EffectId) -> bool {
        self.state().living.contains_key(&attempt)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Ends the agent of that attempt, if it lives.
    fn end(&mut self, attempt: EffectId) {
        if let Some(living) = self.living.remove(&attempt) {
            living.send_replace(true);
        }
    }

    fn next_script(&mut self, spec: &AgentSpec) -> Script {
        match self.scripts.get_mut(&(spec.step.to_string(), spec.purpose)) {
            Some(queue) if queue.len() > 1 => queue.pop_front().expect("it has more than one"),
            Some(queue) => queue.front().expect("a queue is made with its first script").clone(),
            None => (self.fallback)(spec),
        }
    }
}

#[async_trait]
impl AgentRunner for FakeAgents {
    async fn start(&self, spec: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        let mut state = self.state();
        state.end(spec.id);
        let script = state.next_script(&spec);
        if let Ending::CannotStart { reason, transient } = script.end {
            return Err(AgentError::new("fake", reason, transient));
        }
        let (living, ended) = watch::channel(false);
        state.living.insert(spec.id, living);
        state.started.push(spec.clone());
        let now = Instant::now();
        let session = FakeSession {
            agents: self.clone(),
            deadline: now + spec.timeout,
            last_sign: now,
            waiting_since: now,
            spec,
            script,
            ended,
            kill_at: None,
        };
        Ok(Box::new(session))
    }

    async fn attach(&self, spec: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        self.state().end(spec.id);
        Ok(None)
    }
}

struct FakeSession {
    agents: FakeAgents,
    spec: AgentSpec,
    script: Script,
    /// Turns true when somebody else ended this agent.
    ended: watch::Receiver<bool>,
    deadline: Instant,
    last_sign: Instant,
    /// Since when the first act waits, if it is a wait.
    waiting_since: Instant,
    kill_at: Option<Instant>,
}

impl fmt::Debug for FakeSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeSession").field("id", &self.spec.id).field("script", &self.script).finish_non_exhaustive()
    }
}

/// What a session can say at an instant.
enum Now {
    Event(AgentEvent),
    Again,
    WaitUntil(Instant),
}

#[async_trait]
impl AgentSession for FakeSession {
    async fn next(&mut self) -> AgentEvent {
        loop {
            // All that changes, changes in here, between two awaits: a dropped call loses nothing.
            let wake = match self.at(Instant::now()) {
                Now::Event(event) => return event,
                Now::Again => continue,
                Now::WaitUntil(wake) => wake,
            };
            tokio::select! {
                () = sleep_until(wake) => {}
                _ = self.ended.wait_for(|ended| *ended) => {}
            }
        }
    }

    async fn stop(&mut self, grace: Duration) {
        let now = Instant::now();
        let at = if self.script.polite { now } else { now + grace };
        self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
    }
}

impl FakeSession {
    fn at(&mut self, now: Instant) -> Now {
        if *self.ended.borrow() {
            return Now::Event(AgentEvent::Ended(AgentEnd::new(AgentExit::Killed)));
        }
        let stuck_at = self.last_sign + self.spec.idle_timeout;
        let ends = [
            (self.kill_at, AgentExit::Killed),
            (Some(self.deadline), AgentExit::TimedOut),
            (Some(stuck_at), AgentExit::Stuck),
        ];
        let mut wake = self.deadline;
        for (at, exit) in ends {
            let Some(at) = at else { continue };
            if now >= at {
                return Now::Event(self.over(AgentEnd::new(exit)));
            }
            wake = wake.min(at);
        }
        match self.script.acts.front() {
            Some(Act::Wait(time)) => {
                let until = self.waiting_since + *time;
                if now < until {
                    return Now::WaitUntil(wake.min(until));
                }
                self.script.acts.pop_front();
                self.waiting_since = until;
                Now::Again
            }
            Some(_) => self.act(now).map_or(Now::Again, Now::Event),
            None => match &self.script.end {
                Ending::End(end) => {
                    let end = (**end).clone();
                    Now::Event(self.over(end))
                }
                Ending::Never { chatter: Some(every) } if now >= self.last_sign + *every => {
                    self.last_sign = now;
                    Now::Event(AgentEvent::Text("still here\n".to_owned()))
                }
                Ending::Never { chatter } => {
                    Now::WaitUntil(chatter.map_or(wake, |every| wake.min(self.last_sign + every)))
                }
                Ending::CannotStart { .. } => unreachable!("such a script gives no session"),
            },
        }
    }

    /// Does the first act and takes it off the list.
    fn act(&mut self, now: Instant) -> Option<AgentEvent> {
        (self.waiting_since, self.last_sign) = (now, now);
        match self.script.acts.pop_front()? {
            Act::Wait(_) => None,
            Act::Emit(event) => Some(event),
            Act::Edit { path, content } => {
                let edited = self.agents.hands.edit(&self.spec.workspace, &path, content.as_deref());
                edited.err().map(|error| {
                    let message = format!("cannot edit {path}: {error}");
                    self.over(AgentEnd::new(AgentExit::Error { message, transient: false }))
                })
            }
        }
    }

    fn over(&mut self, mut end: AgentEnd) -> AgentEvent {
        let mut cap = end.text.len().min(256 * 1024);
        while !end.text.is_char_boundary(cap) {
            cap -= 1;
        }
        end.text.truncate(cap);
        self.agents.state().living.remove(&self.spec.id);
        AgentEvent::Ended(end)
    }
}

/// Does what it is asked for: workers write a file, reviewers pass.
fn willing(spec: &AgentSpec) -> Script {
    match spec.purpose {
        Purpose::Review => Script::success("VERDICT: PASS\nSCORE: 10/10"),
        Purpose::Work | Purpose::Fix | Purpose::Resolve => {
            Script::success("done").write(format!("{}.txt", spec.step), format!("attempt {}\n", spec.attempt))
        }
    }
}

#[derive(Debug)]
struct OnDisk;

impl Hands for OnDisk {
    fn edit(&self, workspace: &Path, path: &str, content: Option<&str>) -> std::io::Result<()> {
        let path = workspace.join(path);
        let Some(content) = content else { return std::fs::remove_file(path) };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, content)
    }
}

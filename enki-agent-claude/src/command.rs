//! The command line and environment of one attempt.

use crate::config::ClaudeConfig;
use enki_core::agent::{AgentError, AgentSpec};
use enki_core::id::EffectId;
use enki_core::tier::Purpose;
use enki_process::{Feed, Polite, Spawn, is_reserved};
use std::ffi::OsString;

/// How an attempt's session is named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Session {
    /// A new one of the attempt's own name.
    New,
    /// A copy of an earlier one, under the attempt's own name: the earlier one stays as it is, so that the attempt can
    /// be run again from the same start.
    Resume(String),
    /// A new one that the client names, because an earlier run of the same attempt has the name.
    Unnamed,
    /// The same as a copy of an earlier one.
    ResumeUnnamed(String),
}

impl Session {
    pub(crate) fn of(spec: &AgentSpec) -> Self {
        match spec.resume.as_deref().filter(|id| is_uuid(id)) {
            Some(id) => Self::Resume(id.to_owned()),
            None => Self::New,
        }
    }

    /// What to try if the session to resume does not exist. `None` if there was none to resume.
    pub(crate) fn without_resume(&self) -> Option<Self> {
        match self {
            Self::Resume(_) => Some(Self::New),
            Self::ResumeUnnamed(_) => Some(Self::Unnamed),
            Self::New | Self::Unnamed => None,
        }
    }

    /// What to try if the name is taken. `None` if the client chose it.
    pub(crate) fn without_name(&self) -> Option<Self> {
        match self {
            Self::Resume(id) => Some(Self::ResumeUnnamed(id.clone())),
            Self::New => Some(Self::Unnamed),
            Self::ResumeUnnamed(_) | Self::Unnamed => None,
        }
    }
}

/// The process of an attempt, ready to start.
pub(crate) fn spawn(config: &ClaudeConfig, spec: &AgentSpec, session: &Session) -> Result<Spawn, AgentError> {
    if let Some(name) = config.env.keys().find(|name| is_reserved(name)) {
        let reason =
            format!("the variable {} is reserved, names that begin with ENKI_ are set by Enki alone", name.display());
        return Err(AgentError::new(config.program.to_string_lossy(), reason, false));
    }
    let mut spawn = Spawn::new(&config.program, spec.id)
        .args(arguments(config, spec, session))
        .directory(&spec.workspace)
        .base_env(config.base_env.clone())
        // An update in the middle of a run would change the client under those that follow.
        .env("DISABLE_AUTOUPDATER", "1")
        .env("CLAUDE_CODE_MAX_RETRIES", config.max_retries.to_string())
        .stdin(spec.prompt.clone().into_bytes())
        .timeout(spec.timeout)
        .idle_timeout(spec.idle_timeout)
        .grace(config.grace)
        // SIGTERM would leave its shell commands running: each is in a session of its own.
        .polite(Polite::Interrupt)
        .tails(0, STDERR)
        .output_limit(config.output_limit)
        .feed(Feed::Chunks, FEED);
    for (name, value) in &config.env {
        spawn = spawn.env(name, value);
    }
    for (name, value) in attempt(spec, model(config, spec)) {
        spawn = spawn.env(name, value);
    }
    if let Some(project) = &config.project {
        spawn = spawn.project(project.clone());
    }
    if let Some(redactor) = &config.redactor {
        spawn = spawn.redactor(redactor.clone());
    }
    if !spec.log.as_os_str().is_empty() {
        spawn = spawn.log(&spec.log, config.log_limits).log_whole(PIECE, WHOLE);
    }
    Ok(spawn)
}

/// What the tools of an agent may want to know of its attempt; every runner gives it.
fn attempt(spec: &AgentSpec, model: &str) -> [(&'static str, String); 8] {
    [
        ("ENKI_EXECUTION_ID", spec.execution.hex()),
        ("ENKI_STEP_ID", spec.step.to_string()),
        ("ENKI_TASK_ID", spec.task.to_string()),
        ("ENKI_ATTEMPT", spec.attempt.to_string()),
        ("ENKI_PURPOSE", spec.purpose.to_string()),
        ("ENKI_ROLE", spec.role.clone()),
        ("ENKI_TIER", spec.tier.to_string()),
        ("ENKI_MODEL", model.to_owned()),
    ]
}

fn model<'a>(config: &'a ClaudeConfig, spec: &'a AgentSpec) -> &'a str {
    spec.model.as_deref().unwrap_or_else(|| config.models.of(spec.tier))
}

fn arguments(config: &ClaudeConfig, spec: &AgentSpec, session: &Session) -> Vec<OsString> {
    let only_reads = spec.purpose == Purpose::Review || !spec.can_edit;
    let mode = if only_reads { &config.review_permission_mode } else { &config.permission_mode };
    // `--name=value` where the value comes from a plan: it cannot become an option of its own.
    // The pieces of a message are signs of life while a long one is written, and shown while it is.
    let fixed = ["-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"];
    let mut args: Vec<OsString> = fixed.map(Into::into).into();
    args.push(format!("--model={}", model(config, spec)).into());
    args.push(format!("--permission-mode={mode}").into());
    // A repository brings no settings, hooks or tool servers of its own.
    args.extend(["--setting-sources", "", "--strict-mcp-config"].map(Into::into));
    if let Some(servers) = &spec.tool_servers {
        // A path, and not what is in it: everybody can read a command line.
        let mut option = OsString::from("--mcp-config=");
        option.push(servers);
        args.push(option);
    }
    match session {
        Session::New => args.push(format!("--session-id={}", session_id(spec.id)).into()),
        Session::Resume(id) => {
            args.push(format!("--resume={id}").into());
            args.push("--fork-session".into());
            args.push(format!("--session-id={}", session_id(spec.id)).into());
        }
        Session::Unnamed => {}
        Session::ResumeUnnamed(id) => {
            args.push(format!("--resume={id}").into());
            args.push("--fork-session".into());
        }
    }
    if let Some(turns) = config.max_turns {
        args.push(format!("--max-turns={turns}").into());
    }
    let left = spec.budget.cost_micro_usd.map(|micro| micro as f64 / 1e6);
    if let Some(usd) = config.max_budget_usd.into_iter().chain(left).reduce(f64::min) {
        args.push(format!("--max-budget-usd={usd}").into());
    }
    if let Some(schema) = &spec.answer_schema {
        args.push(format!("--json-schema={schema}").into());
    }
    if !spec.system_prompt.trim().is_empty() {
        args.push(format!("--append-system-prompt={}", spec.system_prompt.trim()).into());
    }
    if only_reads {
        // Not even offered: what a model does not know of, it neither tries nor is tempted by.
        args.push(format!("--disallowedTools={}", EDITS.join(",")).into());
    }
    let tools = if spec.tools.is_empty() { &config.allowed_tools } else { &spec.tools };
    let tools = tools.iter().filter(|rule| !(only_reads && edits(rule))).map(String::as_str);
    // The server lists what the attempt may call, and refuses the rest.
    let tools: Vec<&str> = tools.chain(spec.tool_servers.as_ref().map(|_| "mcp__enki")).collect();
    if !tools.is_empty() {
        args.push("--allowedTools".into());
        args.extend(tools.into_iter().map(Into::into));
    }
    args.extend(config.extra_args.iter().cloned());
    args
}

/// Whether a rule is there to let files or commits be changed. Who only reads gets none of them, whoever allowed them.
fn edits(rule: &str) -> bool {
    const COMMANDS: &[&str] = &["Bash(git add", "Bash(git commit"];
    let tool = rule.split('(').next().unwrap_or(rule).trim();
    EDITS.contains(&tool) || COMMANDS.iter().any(|command| rule.trim_start().starts_with(command))
}

/// The client's tools that change files.
const EDITS: &[&str] = &["Edit", "Write", "MultiEdit", "NotebookEdit"];

/// The name of an attempt's session: its id in the shape of a UUID, of version 8 ("made by a rule of one's own").
pub(crate) fn session_id(id: EffectId) -> String {
    let hex = id.hex();
    // The variant takes the upper two bits of its digit, the version a whole digit.
    let variant = match hex.as_bytes()[16] {
        b'0' | b'4' | b'8' | b'c' => '8',
        b'1' | b'5' | b'9' | b'd' => '9',
        b'2' | b'6' | b'a' | b'e' => 'a',
        _ => 'b',
    };
    format!("{}-{}-8{}-{variant}{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

fn is_uuid(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    let right = |(at, b): (usize, u8)| if dashes.contains(&at) { b == b'-' } else { b.is_ascii_hexdigit() };
    text.len() == 36 && text.bytes().enumerate().all(right)
}

/// How a line begins that is only a piece of a message, and how those in which it comes whole: a text is once in the log.
const PIECE: &str = r#"{"type":"stream_event","#;
const WHOLE: &[&str] = &[r#"{"type":"assistant","#, r#"{"type":"result","#];

/// How much of standard error is kept for messages.
const STDERR: usize = 16 << 10;

/// How much output may wait to be decoded.
const FEED: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use enki_core::id::{AttemptNo, ExecutionId, StepIx};
    use enki_core::tier::Tier;
    use enki_process::BaseEnv;

    fn spec() -> AgentSpec {
        let execution = ExecutionId::new(7);
        let id = EffectId::of_attempt(execution, StepIx(0), AttemptNo(1));
        let mut spec = AgentSpec::new(id, execution, "a".parse().unwrap(), AttemptNo(1), Purpose::Work);
        spec.prompt = "secret words of the prompt".into();
        spec
    }

    fn line(config: &ClaudeConfig, spec: &AgentSpec, session: &Session) -> String {
        let args = arguments(config, spec, session);
        args.iter().map(|a| format!("{}\n", a.to_str().unwrap())).collect()
    }

    #[test]
    fn the_whole_command_line() {
        let mut config = ClaudeConfig::new(BaseEnv::default());
        config.allowed_tools = vec!["Bash(git diff *)".into(), "Write".into()];
        config.max_turns = Some(9);
        config.max_budget_usd = Some(1.25);
        config.extra_args = vec!["--setting-sources".into(), "user".into()];
        insta::assert_snapshot!(line(&config, &spec(), &Session::New));
    }

    #[test]
    fn the_client_is_told_the_least_money_that_is_left() {
        let mut config = ClaudeConfig::new(BaseEnv::default());
        let mut spec = spec();
        let told = |config: &ClaudeConfig, spec: &AgentSpec| {
            let line = line(config, spec, &Session::New);
            line.lines().find_map(|l| l.strip_prefix("--max-budget-usd=").map(str::to_owned))
        };
        assert_eq!(told(&config, &spec), None);
        spec.budget.cost_micro_usd = Some(2_500_000);
        assert_eq!(told(&config, &spec).as_deref(), Some("2.5"));
        config.max_budget_usd = Some(1.25);
        assert_eq!(told(&config, &spec).as_deref(), Some("1.25"));
    }

    #[test]
    fn the_prompt_is_never_an_argument() {
        let config = ClaudeConfig::new(BaseEnv::default());
        assert!(!line(&config, &spec(), &Session::New).contains("secret words"));
    }

    #[test]
    fn the_tier_gives_the_model_unless_the_plan_names_one() {
        let config = ClaudeConfig::new(BaseEnv::default());
        let model = |spec: &AgentSpec| {
            let line = line(&config, spec, &Session::New);
            line.lines().find_map(|l| l.strip_prefix("--model=").map(str::to_owned)).unwrap()
        };
        let mut spec = spec();
        for (tier, wanted) in [(Tier::Light, "haiku"), (Tier::Standard, "sonnet"), (Tier::Heavy, "opus")] {
            spec.tier = tier;
            assert_eq!(model(&spec), wanted);
        }
        spec.model = Some("--dangerously-skip-permissions".into());
        assert_eq!(model(&spec), "--dangerously-skip-permissions", "a model stays the value of its option");
        assert!(!line(&config, &spec, &Session::New).lines().any(|l| l == "--dangerously-skip-permissions"));
    }

    #[test]
    fn a_review_may_not_edit() {
        let config = ClaudeConfig::new(BaseEnv::default());
        let mut spec = spec();
        spec.purpose = Purpose::Review;
        let text = line(&config, &spec, &Session::New);
        assert!(text.contains("--permission-mode=default\n"), "{text}");
        assert!(text.contains("--disallowedTools=Edit,Write,MultiEdit,NotebookEdit\n"), "{text}");
        spec.purpose = Purpose::Fix;
        assert!(!line(&config, &spec, &Session::New).contains("--disallowedTools"), "who mends has them");
    }

    #[test]
    fn who_only_reads_is_allowed_no_tool_that_edits() {
        let mut config = ClaudeConfig::new(BaseEnv::default());
        config.allowed_tools = ["Edit(src/**)", "Write", "Bash(git add *)", "Bash(git diff *)"].map(Into::into).into();
        let mut reader = spec();
        reader.can_edit = false;
        let text = line(&config, &reader, &Session::New);
        assert!(text.contains("--permission-mode=default\n"), "{text}");
        assert!(text.ends_with("--allowedTools\nBash(git diff *)\n"), "{text}");
        assert!(line(&config, &spec(), &Session::New).contains("\nWrite\n"), "who edits has them");
        config.allowed_tools = vec!["Write".into()];
        assert!(!line(&config, &reader, &Session::New).contains("--allowedTools"), "an empty list would allow nothing");
    }

    #[test]
    fn a_role_gives_its_words_and_its_tools_instead_of_the_usual_ones() {
        let config = ClaudeConfig::new(BaseEnv::default());
        let mut spec = spec();
        spec.system_prompt = "--model=x\nYou look twice.\n".into();
        spec.tools = vec!["WebFetch".into()];
        let text = line(&config, &spec, &Session::New);
        assert!(text.contains("--append-system-prompt=--model=x\nYou look twice.\n--allowedTools\n"), "{text}");
        assert!(text.ends_with("--allowedTools\nWebFetch\n"), "{text}");
    }

    #[test]
    fn a_fix_goes_on_in_a_copy_of_the_session_under_its_own_name() {
        let config = ClaudeConfig::new(BaseEnv::default());
        let mut spec = spec();
        let earlier = "11111111-2222-4333-8444-555555555555";
        spec.resume = Some(earlier.into());
        let session = Session::of(&spec);
        let line = line(&config, &spec, &session);
        let own = session_id(spec.id);
        assert!(line.contains(&format!("--resume={earlier}\n--fork-session\n--session-id={own}\n")), "{line}");
        for not_one in ["", "--help", "latest", "11111111-2222-4333-8444-55555555555g", "../../x"] {
            spec.resume = Some(not_one.into());
            assert_eq!(Session::of(&spec), Session::New, "{not_one}");
        }
    }

    #[test]
    fn the_tools_of_an_attempt_are_named_by_path_and_allowed() {
        let mut config = ClaudeConfig::new(BaseEnv::default());
        config.allowed_tools.clear();
        let mut spec = spec();
        assert!(!line(&config, &spec, &Session::New).contains("mcp__enki"), "there are none");
        spec.tool_servers = Some("/p/.enki/attempts/x.json".into());
        let text = line(&config, &spec, &Session::New);
        assert!(text.contains("\n--strict-mcp-config\n--mcp-config=/p/.enki/attempts/x.json\n"), "{text}");
        assert!(text.ends_with("--allowedTools\nmcp__enki\n"), "{text}");
        spec.purpose = Purpose::Review;
        assert!(line(&config, &spec, &Session::New).ends_with("--allowedTools\nmcp__enki\n"), "a reviewer too");
    }

    #[test]
    fn a_session_is_named_after_its_attempt_as_a_uuid() {
        let mut names = std::collections::HashSet::new();
        for n in 0..100 {
            let name = session_id(EffectId::of("attempt", &[&[n]]));
            assert!(is_uuid(&name), "{name}");
            assert_eq!((&name[14..15], "89ab".contains(&name[19..20])), ("8", true), "{name}");
            names.insert(name);
        }
        assert_eq!(names.len(), 100);
        let id = EffectId::of("attempt", &[b"x"]);
        let digits = session_id(id).replace('-', "");
        let same = digits.bytes().zip(id.hex().bytes()).filter(|(a, b)| a == b).count();
        assert!(same >= 30, "126 bits or so of the id are kept: {digits} of {}", id.hex());
    }

    #[test]
    fn a_reserved_variable_is_refused() {
        let mut config = ClaudeConfig::new(BaseEnv::default());
        config.env.insert("ENKI_RUN".into(), "x".into());
        let error = spawn(&config, &spec(), &Session::New).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot start agent claude: the variable ENKI_RUN is reserved, names that begin with ENKI_ are set by Enki alone"
        );
    }
}

//! `enki demo`: the main job, on a small repository made for it, with an agent that is a script.

use super::Context;
use super::run::configured;
use crate::args::{Overrides, Picture};
use crate::drive::{self, Answers};
use crate::error::CliError;
use crate::exit::Exit;
use crate::plan_file::PlanFile;
use crate::render::Paint;
use crate::session::Session;
use crate::view::ExecutionView;
use crate::wire;
use enki_core::branch::Branch;
use enki_core::driver::Submission;
use enki_core::id::EffectId;
use enki_core::plan::PlanLimits;
use enki_process::{BaseEnv, Spawn, Status};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const AGENT: &str = include_str!("agent.sh");
const PLAN: &str = include_str!("plan.toml");

/// What the project has at its start.
const FILES: &[(&str, &str)] = &[
    ("README.md", "# Words\n\nSmall tools on words.\n"),
    ("src/.keep", ""),
    ("tests/.keep", ""),
    (
        "check.sh",
        "#!/bin/sh\n# Runs every test there is.\nset -eu\nfor test in tests/*.sh; do\n    [ -e \"$test\" ] || continue\n    \
         echo \"$test\"\n    sh -eu \"$test\"\ndone\n",
    ),
];

pub(super) async fn run(cx: &mut Context, dir: Option<&Path>) -> Result<Exit, CliError> {
    let folder = folder(cx, dir)?;
    let project = folder.join("project");
    prepare(cx, &folder, &project).await?;
    let paint = Paint(cx.out.color);
    cx.out.note(&format!("{} in {}", paint.bold("a project of its own is"), project.display()));
    cx.out.note(&format!("its agent is {}: no model is called, nothing is paid\n", folder.join("agent.sh").display()));

    (cx.global.dir, cx.global.named) = (Some(project.clone()), None);
    let file = PlanFile::parse("plan.toml", PLAN.as_bytes().to_vec())
        .map_err(|problems| CliError::problems(problems, "please report this"))?;
    file.check(&PlanLimits::default(), &HashMap::new())
        .map_err(|problems| CliError::problems(problems, "please report this"))?;
    let git = wire::git(&project, &cx.host)?;
    let mut config = configured(cx, &git, &Overrides::default())?;
    // The demo's store is thrown away with its folder, so it need not survive a crash of the machine.
    config.flag("store.any_file_system", "demo", "true")?;
    let agents = wire::agents(&cx.backends, &config, &cx.host, &git)?;
    let mut spec = file.spec.clone();
    wire::default_reviews(&mut spec, &config, &agents)?;
    let main: Branch =
        "main".parse().map_err(|e: enki_core::id::InvalidId| CliError::new(Exit::Internal, e.to_string()))?;
    let mut submission = Submission::new(spec, main);
    submission.gate = wire::gate(&config, &cx.host, git.root())?;
    submission.origin = "demo".to_owned();
    let session = Session::start(cx, &git, &config, &agents).await?;
    let accepted = session.orchestrator.submit(submission).await?;
    let (state, exit) = drive::drive(cx, session, accepted.execution, Answers::Demo).await?;

    if !cx.out.json {
        cx.draw(&ExecutionView::of(&state, cx.host.now()).graph(), Picture::default())?;
        let history = git_in(cx, &project, &["log", "--graph", "--oneline", "--decorate", "main"]);
        let history = history.await?;
        cx.out.line(&format!("\n$ git log --graph --oneline\n{}", history.trim_end()))?;
        cx.out.line("")?;
    }
    drive::summary(cx, &state, exit, &git).await?;
    if !cx.out.json {
        let paint = Paint(cx.out.color_out);
        let id = state.id();
        cx.out.line(&format!("\n{}", paint.bold("where everything is")))?;
        cx.out.line(&format!("  {}  the project; main has the work", project.display()))?;
        cx.out.line(&format!("  {}  the plan", folder.join("plan.toml").display()))?;
        cx.out.line(&format!("  {}  the agent", folder.join("agent.sh").display()))?;
        cx.out.line(&format!(
            "look closer: cd {} && enki status {id}; enki show {id}; enki log {id}",
            project.display()
        ))?;
    }
    Ok(exit)
}

/// The folder of the demo: new and empty.
fn folder(cx: &Context, dir: Option<&Path>) -> Result<PathBuf, CliError> {
    let Some(dir) = dir else {
        let place = cx.host.dir("TMPDIR").unwrap_or_else(|| Path::new("/tmp"));
        let made = tempfile::Builder::new().prefix("enki-demo-").tempdir_in(place).map_err(|error| {
            let message = format!("cannot make a folder in {}: {error}", place.display());
            CliError::environment(message).hint("set TMPDIR to a folder you can write to, or name one with --dir")
        })?;
        return Ok(made.keep());
    };
    let dir = cx.start_dir()?.join(dir);
    let cannot = |error: std::io::Error| {
        CliError::environment(format!("cannot make {}: {error}", dir.display())).hint("name another folder with --dir")
    };
    fs::create_dir_all(&dir).map_err(cannot)?;
    if fs::read_dir(&dir).map_err(cannot)?.next().is_some() {
        return Err(CliError::usage(format!("{} is not empty", dir.display())).hint("name a new folder with --dir"));
    }
    dir.canonicalize().map_err(cannot)
}

/// Writes the agent, the plan and the repository.
async fn prepare(cx: &Context, folder: &Path, project: &Path) -> Result<(), CliError> {
    let cannot = |path: &Path, error: &std::io::Error| {
        CliError::environment(format!("cannot write {}: {error}", path.display()))
    };
    let write = |path: PathBuf, text: &str| -> Result<(), CliError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| cannot(parent, &error))?;
        }
        fs::write(&path, text).map_err(|error| cannot(&path, &error))
    };
    write(folder.join("agent.sh"), AGENT)?;
    write(folder.join("plan.toml"), PLAN)?;
    for (name, text) in FILES {
        write(project.join(name), text)?;
    }
    git_in(cx, project, &["init", "--quiet", "--initial-branch=main"]).await?;
    git_in(cx, project, &["add", "--all"]).await?;
    let who = ["-c", "user.name=enki demo", "-c", "user.email=demo@enki.invalid", "-c", "commit.gpgSign=false"];
    git_in(cx, project, &[&who[..], &["commit", "--quiet", "--message=Begin"]].concat()).await?;
    let agent = serde_json::Value::from(folder.join("agent.sh").to_string_lossy());
    let settings = format!("[agent]\ncommand = \"sh\"\nargs = [{agent}]\n\n[refinery]\ncheck = \"sh check.sh\"\n");
    write(project.join(".enki/enki.toml"), &settings)?;
    write(project.join(".enki/.gitignore"), "*\n")
}

/// Runs git in the demo's repository and gives what it printed.
async fn git_in(cx: &Context, project: &Path, args: &[&str]) -> Result<String, CliError> {
    let vars = cx.host.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    let run = EffectId::of("demo", &[project.as_os_str().as_encoded_bytes(), args.join(" ").as_bytes()]);
    let spawn = Spawn::new("git", run).args(args).directory(project).base_env(BaseEnv::from_vars(vars));
    let child = spawn.timeout(Duration::from_secs(30)).start().await;
    let child = child.map_err(|error| CliError::environment(error.to_string()).hint("install git 2.38 or newer"))?;
    let ended = child.wait().await;
    if ended.status != Status::Code(0) {
        let said = String::from_utf8_lossy(&ended.stderr_tail).trim().to_owned();
        return Err(
            CliError::environment(format!("git {} failed: {said}", args.join(" "))).hint("check the installed git")
        );
    }
    Ok(String::from_utf8_lossy(&ended.stdout_tail).into_owned())
}

//! `enki mcp config`: what to paste where, so that a client starts this program as its server.

use crate::args::McpClient;
use crate::commands::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::project::Project;
use serde_json::{Value, json};

pub(super) fn print(cx: &mut Context, client: McpClient) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let program = cx.host.supervisor.clone().ok_or_else(|| {
        CliError::environment("this program does not know where it is").hint("start it by its absolute path")
    })?;
    let text = |path: &std::path::Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| {
            CliError::environment(format!("{} is no text, and a client's configuration is", path.display()))
                .hint("move it to a path that is UTF-8")
        })
    };
    let (program, root) = (text(&program)?, text(&project.root)?);
    let args = ["-C", &root, "mcp"];
    if cx.out.json {
        cx.out.object(&json!({"schema": "enki.mcp-config.v1", "client": name(client), "file": file(client),
            "command": program, "args": args, "config": config(client, &program, &args)}))?;
        return Ok(Exit::Ok);
    }
    cx.out.note(&said(client));
    match client {
        McpClient::ClaudeCode => {
            let words = [&["claude", "mcp", "add", "enki", "--", &program][..], &args].concat();
            cx.out.line(&words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))?;
        }
        McpClient::Codex => cx.out.write(&toml(&program, &args))?,
        _ => {
            let text = serde_json::to_string_pretty(&config(client, &program, &args)).unwrap_or_default();
            cx.out.line(&text)?;
        }
    }
    Ok(Exit::Ok)
}

const fn name(client: McpClient) -> &'static str {
    match client {
        McpClient::ClaudeCode => "claude-code",
        McpClient::ClaudeDesktop => "claude-desktop",
        McpClient::Cursor => "cursor",
        McpClient::Vscode => "vscode",
        McpClient::Windsurf => "windsurf",
        McpClient::Zed => "zed",
        McpClient::Codex => "codex",
        McpClient::Gemini => "gemini",
        McpClient::Json => "json",
    }
}

/// The file that the client reads it from, `None` if a command puts it there.
const fn file(client: McpClient) -> Option<&'static str> {
    match client {
        McpClient::ClaudeCode | McpClient::Json => None,
        McpClient::ClaudeDesktop => Some("claude_desktop_config.json"),
        McpClient::Cursor => Some(".cursor/mcp.json"),
        McpClient::Vscode => Some(".vscode/mcp.json"),
        McpClient::Windsurf => Some("~/.codeium/windsurf/mcp_config.json"),
        McpClient::Zed => Some("~/.config/zed/settings.json"),
        McpClient::Codex => Some("~/.codex/config.toml"),
        McpClient::Gemini => Some(".gemini/settings.json"),
    }
}

fn said(client: McpClient) -> String {
    match client {
        McpClient::ClaudeCode => "run this in the project:".to_owned(),
        McpClient::ClaudeDesktop => {
            "merge this into claude_desktop_config.json (Settings, Developer, Edit Config), then restart it:".to_owned()
        }
        McpClient::Json => "in the form that most clients take:".to_owned(),
        client => format!("merge this into {}:", file(client).unwrap_or_default()),
    }
}

fn config(client: McpClient, program: &str, args: &[&str]) -> Value {
    let plain = json!({"command": program, "args": args});
    match client {
        McpClient::Vscode => json!({"servers": {"enki": {"type": "stdio", "command": program, "args": args}}}),
        McpClient::Zed => json!({"context_servers": {"enki": {"source": "custom", "command": program, "args": args}}}),
        McpClient::Codex => json!({"mcp_servers": {"enki": plain}}),
        _ => json!({"mcpServers": {"enki": plain}}),
    }
}

fn toml(program: &str, args: &[&str]) -> String {
    let text = |word: &str| toml::Value::from(word).to_string();
    let args = args.iter().map(|word| text(word)).collect::<Vec<_>>().join(", ");
    format!("[mcp_servers.enki]\ncommand = {}\nargs = [{args}]\n", text(program))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

//! Terraform, with the AWS provider, on a copy of `terraform/`.

use crate::deployed::Deployed;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An example, relative to the environments.
pub const WORKER: &str = "../examples/transform-worker";
const VARIABLE: &str = "PUDATO_TERRAFORM_PLUGIN_DIR";
/// Terraform's message if a provider is unavailable. Any other failure is a mistake of ours.
const NO_PROVIDER: [&str; 5] = [
    "Failed to query available provider packages",
    "no available releases",
    "could not connect to registry",
    "could not query provider registry",
    "Invalid provider registry host",
];

/// A copy of `terraform/` with the provider, so that no files are left in the clone.
pub struct Terraform {
    pub folder: tempfile::TempDir,
}

impl Terraform {
    /// Initializes the provider for these environments, each of which takes a second; `None`, with one line of output, if Terraform or the
    /// provider is missing. `faults` tests the same path without Terraform.
    ///
    /// # Panics
    /// There is any other failure, or the provider is missing although the environment names its place.
    pub fn new(environments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../terraform");
        copy(&from, folder.path());
        let terraform = Self { folder };
        for environment in environments {
            let Err(why) = terraform.init(environment) else {
                continue;
            };
            assert!(std::env::var_os(VARIABLE).is_none(), "{environment}: {why}");
            println!("terraform: not applied here: {why}; {VARIABLE} names a folder that has it");
            return None;
        }
        Some(terraform)
    }

    fn init(&self, environment: &str) -> Result<(), String> {
        let mut init = vec!["init".to_owned(), "-input=false".into(), "-no-color".into()];
        if let Some(mirror) = std::env::var_os(VARIABLE) {
            init.push(format!("-plugin-dir={}", mirror.to_string_lossy()));
        }
        let output = match self.command(environment).args(init).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err("there is no terraform".into());
            }
            output => output.expect("terraform runs"),
        };
        let said = sentence(&output.stderr);
        if output.status.success() {
            return Ok(());
        }
        assert!(is_without_provider(&said), "{environment}: {said}");
        Err(format!("the AWS provider cannot be had: {said}"))
    }

    pub fn command(&self, environment: &str) -> Command {
        let mut command = Command::new("terraform");
        let below = self.folder.path().join("environments");
        let folder = below.join(environment);
        command.current_dir(folder);
        command.env("TF_IN_AUTOMATION", "1").env("NO_COLOR", "1");
        command.env("CHECKPOINT_DISABLE", "1");
        // It may name a file that does not exist.
        command.env_remove("TF_CLI_CONFIG_FILE");
        command
    }

    pub fn run(&self, environment: &str, args: &[&str], variables: &[String]) -> Output {
        let mut command = self.command(environment);
        command.args(args);
        for variable in variables {
            command.args(["-var", variable]);
        }
        command.output().expect("terraform runs")
    }

    pub fn ok(&self, environment: &str, args: &[&str], variables: &[String]) -> String {
        let output = self.run(environment, args, variables);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "terraform {args:?}: {said}");
        String::from_utf8(output.stdout).expect("text")
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_owned();
        // State of an earlier apply is not part of the copy.
        let text = name.to_string_lossy();
        if text == ".terraform" || text.contains("tfstate") {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).expect("copied");
        }
    }
}

/// Terraform's message without its frame and line breaks.
pub fn sentence(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let words = said.split_whitespace();
    let words: Vec<&str> = words.filter(|word| !"│╷╵".contains(*word)).collect();
    words.join(" ")
}

fn is_without_provider(said: &str) -> bool {
    NO_PROVIDER.iter().any(|sign| said.contains(sign))
}

#[test]
fn only_an_unavailable_provider_skips_these_tests() {
    let unreachable = "╷\n│ Error: Failed to query available provider packages\n│ \n│ Could not retrieve the list of available versions for provider\n\
        │ hashicorp/aws: could not connect to\n│ registry.terraform.io: failed to\n╵\n";
    let mistake =
        "╷\n│ Error: Missing name for resource\n│ \n│   on main.tf line 1, in resource \"x\":\n╵\n";
    assert!(is_without_provider(&sentence(unreachable.as_bytes())));
    assert!(!is_without_provider(&sentence(mistake.as_bytes())));
}

/// The variables of the environment `local`.
pub fn variables(deployed: &Deployed, prefix: &str, url: &str) -> Vec<String> {
    let package = |name: &str| -> PathBuf { deployed.packages.join(format!("{name}.zip")) };
    let (core, query) = (package("core"), package("query"));
    vec![
        format!("endpoint={}", deployed.emulator.url()),
        format!("prefix={prefix}"),
        format!("registry_database_url={url}"),
        format!(
            "packages={{core={:?},query={:?}}}",
            core.display().to_string(),
            query.display().to_string()
        ),
    ]
}

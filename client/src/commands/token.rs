//! `samplerctl token`.

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::print::{Output, Printer};

/// What tokens begin with, by which they are recognised where they should not be.
const PREFIX: &str = "sst_";
/// Random bytes of a token: nobody finds one by trying, so its hash needs no salt.
const RANDOM_BYTES: usize = 32;

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token: print it, this once, and what samplerd's file of tokens is to hold of it
    New {
        /// Whose it is, as the daemon's log names it
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: Role,
        /// Tenant whose quotas it counts to
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// Until when it is good, such as 2030-01-31 [default: for ever]
        #[arg(long, value_name = "DATE")]
        expires: Option<String>,
    },
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// See everything, open jobs, read batches
    Read,
    /// Import, activate, run studies, too
    Publish,
    /// Everything
    Admin,
}

#[derive(Serialize)]
struct Made {
    token: String,
    stanza: String,
}

impl Token {
    /// Does what was asked for; needs no daemon.
    pub(crate) fn run(self, output: Output, printer: &mut Printer) -> anyhow::Result<()> {
        let Self::New { name, role, tenant, expires } = self;
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
        let token = format!("{PREFIX}{}", hexadecimal(&random));
        let stanza = stanza(&token, &name, role, tenant.as_deref(), expires.as_deref())?;
        match output {
            Output::Json => printer.line(&Made { token, stanza })?,
            Output::Table => printer.text(&format!(
                "{token}\n\n# Give the line above to {name}, and add the following to the file of samplerd's --tokens.\n{stanza}"
            ))?,
        }
        Ok(printer.flush()?)
    }
}

fn stanza(token: &str, name: &str, role: Role, tenant: Option<&str>, expires: Option<&str>) -> anyhow::Result<String> {
    let quoted = |what: &str, text: &str| {
        let fits = !text.is_empty() && text.chars().all(|sign| !sign.is_control() && sign != '"' && sign != '\\');
        if fits {
            Ok(format!("\"{text}\""))
        } else {
            Err(anyhow::anyhow!("{what} {text:?}: it must be letters and digits"))
        }
    };
    let role = match role {
        Role::Read => "read",
        Role::Publish => "publish",
        Role::Admin => "admin",
    };
    let hash = hexadecimal(&Sha256::digest(token));
    let mut stanza = format!("[[token]]\nname = {}\nsha256 = \"{hash}\"\nrole = \"{role}\"\n", quoted("name", name)?);
    if let Some(tenant) = tenant {
        stanza += &format!("tenant = {}\n", quoted("tenant", tenant)?);
    }
    if let Some(expires) = expires {
        let is_date = expires.bytes().all(|byte| byte.is_ascii_digit() || b"-:TZ+.".contains(&byte));
        anyhow::ensure!(is_date && expires.len() >= 10, "expires {expires:?}: it must be a date such as 2030-01-31");
        stanza += &format!("expires = {expires}\n");
    }
    Ok(stanza)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stanza_holds_the_hash_and_not_the_token() {
        let made = stanza("sst_x", "ci", Role::Publish, Some("vision"), Some("2030-01-31")).unwrap();
        let hash = hexadecimal(&Sha256::digest("sst_x"));
        assert_eq!(
            made,
            format!(
                "[[token]]\nname = \"ci\"\nsha256 = \"{hash}\"\nrole = \"publish\"\ntenant = \"vision\"\n\
                 expires = 2030-01-31\n"
            )
        );
        assert!(!made.contains("sst_x"));
        for (name, expires) in [("a\"b", "2030-01-31"), ("", "2030-01-31"), ("a", "tomorrow"), ("a", "2030")] {
            assert!(stanza("sst_x", name, Role::Read, None, Some(expires)).is_err(), "{name} {expires}");
        }
    }
}

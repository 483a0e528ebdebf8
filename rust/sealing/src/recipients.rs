//! Who can open what is sealed: parsing, canonical form, and the wrapping of file keys.
//!
//! Plugin recipients are resolved when they are parsed, so that a missing program is known before anything
//! is read or uploaded. Passphrases are no recipients here: nobody is there to type them at night.

use std::collections::BTreeMap;
use std::fmt;

use age::NoCallbacks;
use age::plugin::RecipientPluginV1;
use age::ssh::ParseRecipientKeyError;

use crate::{SealError, header};

/// Something that wraps a file key.
pub(crate) type Wrapper = Box<dyn age::Recipient + Send + Sync>;

/// A checked, non-empty set of recipients.
pub struct Recipients {
    canonical: Vec<String>,
    wrappers: Vec<Wrapper>,
}

impl Recipients {
    /// Parses recipient lines: `age1...` (X25519, tagged and post-quantum hybrid ones), `ssh-ed25519 ...`,
    /// `ssh-rsa ...` and `age1<plugin>1...`. Blank lines and `#` comments are skipped, duplicates count once.
    ///
    /// # Errors
    /// `seal.bad_recipient`, `seal.recipient_set`, `seal.no_recipients`, `seal.plugin`.
    pub fn parse(lines: &[String]) -> Result<Self, SealError> {
        let mut native = BTreeMap::new();
        let mut plugin = BTreeMap::new();
        for line in
            lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            match parse_line(line)? {
                Parsed::Native(canonical, wrapper) => drop(native.insert(canonical, wrapper)),
                Parsed::Plugin(recipient) => drop(plugin.insert(recipient.to_string(), recipient)),
            }
        }
        let mut canonical: Vec<String> = native.keys().chain(plugin.keys()).cloned().collect();
        canonical.sort_unstable();
        let mut wrappers: Vec<Wrapper> = native.into_values().collect();
        if !wrappers.is_empty() {
            // Recipients that exclude each other show only when a file key is wrapped: try it now.
            header::write(&wrappers)?;
        }
        wrappers.extend(plugin_wrappers(&plugin.into_values().collect::<Vec<_>>())?);
        if wrappers.is_empty() {
            return Err(SealError::NoRecipients);
        }
        Ok(Self { canonical, wrappers })
    }

    /// The recipients without comments or duplicates, sorted: equal lists mean equal sets.
    #[must_use]
    pub fn canonical(&self) -> Vec<String> {
        self.canonical.clone()
    }

    pub(crate) fn wrappers(&self) -> &[Wrapper] {
        &self.wrappers
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipients").field(&self.canonical).finish()
    }
}

enum Parsed {
    Native(String, Wrapper),
    Plugin(age::plugin::Recipient),
}

fn parse_line(line: &str) -> Result<Parsed, SealError> {
    fn native<R: age::Recipient + ToString + Send + Sync + 'static>(recipient: R) -> Parsed {
        Parsed::Native(recipient.to_string(), Box::new(recipient))
    }
    if looks_secret(line) {
        return Err(SealError::BadRecipient {
            shown: "(not shown)".into(),
            reason:
                "it looks like a secret key; write the public recipient here (age-keygen -y FILE prints it), \
                     and keep the secret off this machine"
                    .into(),
        });
    }
    let bad = |reason: &str| Err(SealError::BadRecipient { shown: shorten(line), reason: reason.into() });
    if let Ok(recipient) = line.parse::<age::x25519::Recipient>() {
        return Ok(native(recipient));
    }
    if let Ok(recipient) = line.parse::<age::tag::Recipient>() {
        return Ok(native(recipient));
    }
    if let Ok(recipient) = line.parse::<age::tagpq::Recipient>() {
        return Ok(native(recipient));
    }
    if let Ok(recipient) = line.parse::<age::plugin::Recipient>() {
        return Ok(Parsed::Plugin(recipient));
    }
    if line.starts_with("age1") {
        return bad("its checksum does not fit; a letter may be wrong or missing, copy it again");
    }
    match line.parse::<age::ssh::Recipient>() {
        Ok(recipient) => Ok(native(recipient)),
        Err(ParseRecipientKeyError::RsaModulusTooSmall) => {
            bad("RSA keys below 2048 bits are not safe; use another")
        }
        Err(ParseRecipientKeyError::RsaModulusTooLarge) => bad("RSA keys above 4096 bits are not supported"),
        Err(ParseRecipientKeyError::Unsupported(kind)) => bad(&format!(
            "age cannot encrypt to SSH keys of type {kind}; use age1..., ssh-ed25519 or ssh-rsa"
        )),
        Err(_) => bad("expected age1..., ssh-ed25519 AAAA... or ssh-rsa AAAA..., one recipient a line"),
    }
}

fn plugin_wrappers(recipients: &[age::plugin::Recipient]) -> Result<Vec<Wrapper>, SealError> {
    let mut names: Vec<&str> = recipients.iter().map(age::plugin::Recipient::plugin).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| match RecipientPluginV1::new(name, recipients, &[], NoCallbacks) {
            Ok(plugin) => Ok(Box::new(plugin) as Wrapper),
            Err(error) => Err(header::plugin_missing(&error)),
        })
        .collect()
}

fn looks_secret(line: &str) -> bool {
    let upper = line.to_ascii_uppercase();
    ["AGE-SECRET-KEY", "AGE-PLUGIN-", "PRIVATE KEY"].iter().any(|mark| upper.contains(mark))
}

fn shorten(line: &str) -> String {
    let mut shown: String = line.chars().take(24).collect();
    if shown.len() < line.len() {
        shown.push_str("...");
    }
    shown
}

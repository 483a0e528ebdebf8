//! Which backups make a chain: from a full along the parents to the one wanted.
//!
//! Keys alone decide (a listing is enough); parents are looked for only within the same source and dataset. Manifests,
//! once read, must confirm each link by the parent's whole id.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{BackupId, FormatError, Manifest, ManifestKey, Nonce};

/// The chain of `target` among `keys`: the full first, `target` last.
///
/// # Errors
/// [`FormatError::UnknownBackup`], [`FormatError::AmbiguousBackup`], [`FormatError::MissingParent`],
/// [`FormatError::AmbiguousParent`], [`FormatError::Cycle`].
pub fn chain_to<'a>(keys: &'a [ManifestKey], target: &BackupId) -> Result<Vec<&'a ManifestKey>, FormatError> {
    // Listings may name one key twice; a set keeps that from looking like two backups.
    let distinct: BTreeSet<&ManifestKey> = keys.iter().collect();
    let mut by_nonce: HashMap<(&str, Nonce), Vec<&ManifestKey>> = HashMap::new();
    for key in &distinct {
        by_nonce.entry((&key.folder, key.id.nonce)).or_default().push(key);
    }
    let mut chain = vec![find_target(&distinct, target)?];
    let mut seen = HashSet::new();
    while let Some(child) = chain.last()
        && let Some(parent) = child.parent_nonce
    {
        if !seen.insert(child.id) {
            return Err(FormatError::Cycle { backup: child.id });
        }
        let candidates = by_nonce.get(&(child.folder.as_str(), parent)).map_or(&[][..], Vec::as_slice);
        match candidates {
            [] => return Err(FormatError::MissingParent { backup: child.id, parent }),
            [one] => chain.push(one),
            several => {
                let keys = several.iter().map(|key| key.key()).collect();
                return Err(FormatError::AmbiguousParent { backup: child.id, parent, keys });
            }
        }
    }
    chain.reverse();
    Ok(chain)
}

fn find_target<'a>(
    keys: &BTreeSet<&'a ManifestKey>,
    target: &BackupId,
) -> Result<&'a ManifestKey, FormatError> {
    let found: Vec<&ManifestKey> = keys.iter().filter(|key| key.id == *target).copied().collect();
    match found[..] {
        [] => Err(FormatError::UnknownBackup { id: *target }),
        [one] => Ok(one),
        _ => {
            let keys = found.iter().map(|key| key.key()).collect();
            Err(FormatError::AmbiguousBackup { id: *target, keys })
        }
    }
}

/// Checks that manifests in a chain's order stand on each other: the first is a full, and each names the one before by
/// its whole id, from the same repository, source and dataset, raw like it.
///
/// # Errors
/// [`FormatError::MissingParent`] if the first is no full; [`FormatError::BrokenLink`] naming what differs.
pub fn check_linked(chain: &[Manifest]) -> Result<(), FormatError> {
    if let Some(first) = chain.first()
        && let Some(parent) = &first.parent
    {
        return Err(FormatError::MissingParent { backup: first.id, parent: parent.id.nonce });
    }
    for pair in chain.windows(2) {
        let [parent, child] = pair else { continue };
        if let Some(why) = difference(parent, child) {
            return Err(FormatError::BrokenLink { child: child.id, parent: parent.id, why });
        }
    }
    Ok(())
}

fn difference(parent: &Manifest, child: &Manifest) -> Option<&'static str> {
    let named = child.parent.as_ref().is_some_and(|named| named.id == parent.id);
    let checks = [
        (named, "the parent's id"),
        (parent.repository == child.repository, "the repository"),
        (parent.source == child.source, "the source"),
        (parent.dataset == child.dataset, "the dataset"),
        (parent.send.raw == child.send.raw, "raw or not raw"),
    ];
    checks.into_iter().find(|(fits, _)| !fits).map(|(_, why)| why)
}

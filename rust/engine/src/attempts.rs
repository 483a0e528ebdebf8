//! Which objects a run can have written: every name that it uploads under is made of one of its sessions.
//!
//! So a run tells the late arrival of its own killed predecessor, which may be deleted, from the work of somebody else
//! who goes on with a copy of its state, which may not. No journal entry is needed before each upload.

use format::{AttemptNonce, BackupKeys, PartName};
use sealing::Digest;

use crate::error::EngineError;
use crate::request::Session;

/// The sessions of one run, the present one last.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    sessions: Vec<Session>,
    present: Session,
}

/// Whose an object in a backup's folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// One of the run's own sessions can have written it.
    Own,
    /// It is named like a part, but no session of the run can have written it.
    Foreign,
    /// Not an object of the format.
    Unknown,
}

impl Attempts {
    /// # Errors
    /// `engine.bad_request` without a session.
    pub(crate) fn new(sessions: Vec<Session>) -> Result<Self, EngineError> {
        let present = sessions.last().copied();
        let present = present.ok_or_else(|| EngineError::bad_request("a run has at least one session"))?;
        Ok(Self { sessions, present })
    }

    /// Those of a run that keeps no state.
    pub(crate) fn of_one_session() -> Result<Self, EngineError> {
        let present = Session::random()?;
        Ok(Self { sessions: vec![present], present })
    }

    /// The nonce under which this session uploads a part.
    pub(crate) fn nonce(&self, part_number: u32) -> AttemptNonce {
        nonce(self.present, part_number)
    }

    /// Whether one of the sessions can have made this name.
    pub(crate) fn made(&self, name: PartName) -> bool {
        self.sessions.iter().any(|session| nonce(*session, name.number) == name.attempt)
    }

    /// Whose the object `key` in the folder of `keys` is.
    pub(crate) fn writer(&self, keys: &BackupKeys, key: &str) -> Writer {
        if key == keys.meta_key() || key == keys.recover_txt_key() {
            return Writer::Own;
        }
        match key.strip_prefix(&keys.data_prefix()).and_then(PartName::parse) {
            Some(name) if self.made(name) => Writer::Own,
            Some(_) => Writer::Foreign,
            None => Writer::Unknown,
        }
    }
}

fn nonce(session: Session, part_number: u32) -> AttemptNonce {
    let mut digest = Digest::new();
    digest.update(b"zfs-push-backups attempt");
    digest.update(session.as_bytes());
    digest.update(&part_number.to_le_bytes());
    let [first, second, third, fourth, ..] = digest.bytes();
    AttemptNonce::from_bytes([first, second, third, fourth])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_told_from_others() {
        let (first, second) = (Session::random().unwrap(), Session::random().unwrap());
        let run = Attempts::new(vec![first, second]).unwrap();
        let other = Attempts::of_one_session().unwrap();
        let name =
            |attempts: &Attempts, number| PartName { number, attempt: attempts.nonce(number), zstd: false };
        assert!(run.made(name(&run, 3)));
        assert!(run.made(name(&Attempts::new(vec![first]).unwrap(), 3)));
        assert!(!run.made(name(&other, 3)));
        assert!(!run.made(PartName { number: 4, ..name(&run, 3) }));
        assert_eq!(run.nonce(0), Attempts::new(vec![second]).unwrap().nonce(0));
        assert!(Attempts::new(Vec::new()).is_err());
    }
}

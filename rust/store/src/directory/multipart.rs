//! An object that grows piece by piece in one temporary file.
//!
//! A piece's place is known once all before it are: those that come too early wait in memory, which the sender's own budget bounds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::receipt;
use super::work::{Desk, Progress, Work};
use super::write::{Failure, Temporary};
use crate::MultipartUpload;
use crate::checksum::{combine_crc64, crc64};
use crate::error::{Place, StoreError};
use crate::object::Receipt;
use crate::requests::{RequestCounter, RequestKind};

pub(super) struct DirectoryUpload {
    state: Arc<Mutex<State>>,
    place: Place,
    if_absent: bool,
    counter: Arc<RequestCounter>,
    desk: Desk,
    progress: Arc<Progress>,
}

struct State {
    /// `None` once completed or aborted.
    file: Option<Temporary>,
    written: Vec<Piece>,
    early: BTreeMap<u32, Bytes>,
}

#[derive(Clone, Copy)]
struct Piece {
    offset: u64,
    length: u64,
    crc: u64,
}

impl DirectoryUpload {
    pub(super) fn new(
        file: Temporary,
        place: Place,
        if_absent: bool,
        counter: Arc<RequestCounter>,
        desk: Desk,
    ) -> Self {
        let state = State { file: Some(file), written: Vec::new(), early: BTreeMap::new() };
        let (state, progress) = (Arc::new(Mutex::new(state)), Arc::new(Progress::new()));
        Self { state, place, if_absent, counter, desk, progress }
    }

    async fn with_state<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut State, &Place, &Work) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (state, place) = (Arc::clone(&self.state), self.place.clone());
        let waiting = self.desk.blocking_with(&self.progress, self.place.clone(), move |work| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            what(&mut state, &place, work)
        });
        waiting.await
    }
}

fn refuse(place: &Place, why: String) -> StoreError {
    StoreError::Unsupported { place: place.clone(), why }
}

fn ended(place: &Place) -> StoreError {
    refuse(place, "this upload was completed or aborted already".into())
}

impl State {
    fn accept(&mut self, number: u32, body: Bytes, place: &Place, work: &Work) -> Result<(), StoreError> {
        let file = self.file.as_ref().ok_or_else(|| ended(place))?;
        let slot = usize::try_from(number).unwrap_or(usize::MAX).checked_sub(1);
        let slot = slot.ok_or_else(|| refuse(place, "pieces are numbered from 1".into()))?;
        if let Some(earlier) = self.written.get_mut(slot) {
            if earlier.length != body.len() as u64 {
                return Err(refuse(place, format!("piece {number} came again with another length")));
            }
            earlier.crc = crc64(&body);
            return file.write_at(&body, earlier.offset, work).map_err(|failure| failure.at(place, ""));
        }
        self.early.insert(number, body);
        self.write_what_fits(work).map_err(|failure| failure.at(place, ""))
    }

    fn write_what_fits(&mut self, work: &Work) -> Result<(), Failure> {
        let Some(file) = self.file.as_ref() else { return Ok(()) };
        while let Some(entry) = self.early.first_entry()
            && usize::try_from(*entry.key()).is_ok_and(|number| number == self.written.len() + 1)
        {
            let body = entry.get().clone();
            let offset = self.written.last().map_or(0, |last| last.offset + last.length);
            file.write_at(&body, offset, work)?;
            self.written.push(Piece { offset, length: body.len() as u64, crc: crc64(&body) });
            entry.remove();
        }
        Ok(())
    }

    fn complete(&mut self, if_absent: bool, place: &Place, work: &Work) -> Result<Receipt, StoreError> {
        let mut file = self.file.take().ok_or_else(|| ended(place))?;
        if self.written.is_empty() || !self.early.is_empty() {
            return Err(refuse(place, format!("piece {} never came", self.written.len() + 1)));
        }
        let length = self.written.iter().map(|piece| piece.length).sum();
        let crc = combine_crc64(self.written.iter().map(|piece| (piece.crc, piece.length)));
        file.publish(length, crc, if_absent, work).map_err(|failure| failure.at(place, ""))?;
        Ok(receipt(length, crc))
    }
}

#[async_trait]
impl MultipartUpload for DirectoryUpload {
    async fn put_piece(&self, number: u32, body: Bytes) -> Result<(), StoreError> {
        self.counter.count(RequestKind::Put);
        self.with_state(move |state, place, work| state.accept(number, body, place, work)).await
    }

    async fn complete(&self) -> Result<Receipt, StoreError> {
        self.counter.count(RequestKind::Other);
        let if_absent = self.if_absent;
        self.with_state(move |state, place, work| state.complete(if_absent, place, work)).await
    }

    async fn abort(&self) -> Result<(), StoreError> {
        self.counter.count(RequestKind::Other);
        self.with_state(|state, _, _| {
            state.file = None;
            state.early.clear();
            Ok(())
        })
        .await
    }
}

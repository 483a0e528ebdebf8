//! A file system that is away: whoever waits gives up with what hangs, and the thread that wakes later harms nothing.

use futures::StreamExt;

use super::super::DirectoryStore;
use super::*;

/// Long enough for any step of a file system that is well.
const STALL: Duration = Duration::from_secs(1);

async fn store_in(folder: &Path) -> DirectoryStore {
    let url = format!("file://{}", folder.display());
    DirectoryStore::open(folder.to_owned(), &url, STALL).await.unwrap()
}

fn stalled(failure: &StoreError, parts: &[&str]) {
    assert_eq!(failure.code(), "store.stalled", "{failure}");
    for part in ["for 1 seconds"].iter().chain(parts) {
        assert!(failure.to_string().contains(part), "{part}: {failure}");
    }
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        // The thread that was left behind tells nobody when it ends.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came so far");
}

#[tokio::test]
async fn a_put_that_hangs_is_given_up_and_never_appears() {
    for step in ["making a file", "writing", "syncing the file", "reading back", "renaming"] {
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(folder.path()).await;
        let hanging = store.desk.gate.close(step);
        let failure = store.put("x/k", bytes(3_000_000, 1), &PutOptions::default()).await.unwrap_err();
        stalled(&failure, &["cannot store file://", "/x/k", step]);
        if step == "reading back" || step == "syncing the file" {
            assert!(failure.to_string().contains("after 3000000 bytes"), "{failure}");
        }
        drop(hanging);
        until(|| files(folder.path()).iter().all(|path| path.ends_with("x"))).await;
        assert_eq!(store.head("x/k").await.unwrap_err().code(), "store.not_found");
    }
}

#[tokio::test]
async fn every_call_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(folder.path()).await;
    put(&store, "k", &bytes(10, 2)).await;
    let mut download = store.get("k", None).await.unwrap();
    let opening = store.desk.gate.close("opening");
    stalled(&store.head("k").await.unwrap_err(), &["look at", "opening"]);
    stalled(&store.get("k", None).await.unwrap_err(), &["read", "opening"]);
    drop(opening);
    let listing = store.desk.gate.close("listing");
    stalled(&store.list("").await.unwrap_err(), &["list", "listing"]);
    stalled(&store.unfinished("").await.unwrap_err(), &["unfinished", "listing"]);
    drop(listing);
    let deleting = store.desk.gate.close("deleting");
    stalled(&store.delete(&["k".to_owned()]).await.unwrap_err(), &["deleting"]);
    drop(deleting);
    let _reading = store.desk.gate.close("reading");
    stalled(&download.chunks.next().await.unwrap().unwrap_err(), &["reading"]);
}

#[tokio::test]
async fn pieces_of_an_upload_that_hangs_are_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(folder.path()).await;
    let upload = store.begin_multipart("m", &PutOptions::default()).await.unwrap();
    let hanging = store.desk.gate.close("writing");
    let (one, two) = futures::join!(upload.put_piece(1, bytes(10, 3)), upload.put_piece(2, bytes(10, 4)));
    stalled(&one.unwrap_err(), &["writing"]);
    stalled(&two.unwrap_err(), &["writing"]);
    stalled(&upload.abort().await.unwrap_err(), &["writing"]);
    drop((hanging, upload));
    until(|| files(folder.path()).is_empty()).await;
}

#[tokio::test]
async fn a_file_that_a_sweeper_takes_at_birth_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, sweeper) = (store_in(folder.path()).await, store_in(folder.path()).await);
    let body = bytes(10, 5);
    let unlocked = writer.desk.gate.close("locking");
    let sweeping = async {
        until(|| files(folder.path()).len() == 2).await;
        let [made] = &sweeper.unfinished("x/").await.unwrap()[..] else { panic!("it has no lock yet") };
        sweeper.abort_unfinished(made).await.unwrap();
        drop(unlocked);
    };
    let options = PutOptions::default();
    let (stored, ()) = futures::join!(writer.put("x/k", body.clone(), &options), sweeping);
    stored.unwrap();
    assert_eq!(read(&writer, "x/k").await, body);
    assert_eq!(files(folder.path()).len(), 2, "the folder and the object");
}

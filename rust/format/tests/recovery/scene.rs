//! The scene of the tests: a store made with stock age and zstd, and a machine whose `zfs`, `aws` and `b3sum` are stand-ins.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use format::{
    AttemptNonce, BackupId, BackupKeys, Blake3Hash, ChecksumAlgorithm, ChecksumKind, Compression, FORMAT,
    Made, Manifest, MetaObject, Parent, Part, Repository, RepositoryId, SendInfo, StoreChecksum, Tool,
    ZfsVersions, recover_md, recover_txt,
};

const SOURCE: &str = "nas-1a2b3c4d";
const DATASET: &str = "tank/my data";
const STREAM_BYTES: usize = 300_000;

/// A store with a full and two incrementals, an identity, and a machine to restore to.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    recipient: String,
    pub(crate) backups: Vec<Manifest>,
    streams: Vec<u8>,
}

pub(crate) struct Outcome {
    pub(crate) ok: bool,
    pub(crate) output: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("buckets")).unwrap();
        fs::create_dir_all(folder.path().join("cold")).unwrap();
        let identity = folder.path().join("identity.txt");
        run_tool("age-keygen", &["-o", identity.to_str().unwrap()], b"");
        let recipient = run_tool("age-keygen", &["-y", identity.to_str().unwrap()], b"");
        let recipient = String::from_utf8(recipient).unwrap().trim().to_owned();
        let mut scene = Self { folder, recipient, backups: Vec::new(), streams: Vec::new() };
        scene
            .write("repository.json", &Repository::new(RepositoryId::from_bytes([7; 16])).to_json().unwrap());
        for (level, zstd_parts) in [(0, &[false, true, false][..]), (1, &[false]), (2, &[true, false])] {
            scene.add_backup(level, zstd_parts);
        }
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a key of the store lies; the bucket's prefix is `some/where`.
    pub(crate) fn stored(&self, key: &str) -> PathBuf {
        self.path("buckets/my-bucket/some/where").join(key)
    }

    pub(crate) fn write(&self, key: &str, bytes: &[u8]) {
        let path = self.stored(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn add_backup(&mut self, level: u32, zstd_parts: &[bool]) {
        let guid = 0xf000_0000_0000_0000 + u64::from(level);
        let base = self.backups.last().map_or(0, |parent| parent.snapshot_guid);
        let mut stream = format!("BEGIN {guid} {base}\n").into_bytes();
        stream.extend((0..STREAM_BYTES).map(|at| (at * 31 + at / 251).to_le_bytes()[0]));
        stream.extend_from_slice(b"\nEND\n");
        let id: BackupId =
            format!("2026112{level}T010203Z-{level}-{guid:016x}-0000000000a{level}").parse().unwrap();
        let keys = BackupKeys::new(SOURCE, DATASET, id).unwrap();
        let mut parts = Vec::new();
        let pieces: Vec<&[u8]> = stream.chunks(stream.len().div_ceil(zstd_parts.len())).collect();
        for (number, (piece, zstd)) in pieces.iter().zip(zstd_parts).enumerate() {
            parts.push(self.add_part(&keys, number, piece, *zstd));
        }
        let meta =
            self.seal(&keys.meta_key(), br#"{"format": 1, "properties": {"compression": {"value": "lz4"}}}"#);
        let parent = self.backups.last().map(|parent| Parent {
            id: parent.id,
            snapshot: parent.snapshot.clone(),
            snapshot_guid: parent.snapshot_guid,
        });
        let manifest = manifest(id, parent, meta, with_offsets(parts), &self.recipient);
        self.write(&keys.recover_txt_key(), recover_txt(&manifest).as_bytes());
        self.write(&manifest.key().unwrap(), &manifest.to_json().unwrap());
        self.backups.push(manifest);
        self.streams.extend(stream);
    }

    fn add_part(&self, keys: &BackupKeys, number: usize, piece: &[u8], zstd: bool) -> Part {
        let number = u32::try_from(number).unwrap();
        let key = keys.part_key(number, AttemptNonce::from_bytes([9; 4]), zstd).unwrap();
        let packed = if zstd { run_tool("zstd", &["-c"], piece) } else { piece.to_vec() };
        let stored = self.seal(&key, &packed);
        Part {
            number,
            key,
            stream_offset: 0,
            stream_length: piece.len() as u64,
            sealed_length: stored.sealed_length,
            blake3: stored.blake3,
            store_checksum: stored.store_checksum,
        }
    }

    fn seal(&self, key: &str, plain: &[u8]) -> MetaObject {
        let sealed = run_tool("age", &["-r", &self.recipient], plain);
        self.write(key, &sealed);
        let store_checksum = StoreChecksum {
            algorithm: ChecksumAlgorithm::None,
            kind: ChecksumKind::Reread,
            value: String::new(),
        };
        let blake3 = Blake3Hash::from_bytes(*blake3::hash(&sealed).as_bytes());
        MetaObject { key: key.to_owned(), sealed_length: sealed.len() as u64, blake3, store_checksum }
    }

    /// Runs a script of RECOVER.md with these settings in the place of its examples.
    pub(crate) fn run(&self, title: &str, changes: &[(&str, &str)]) -> Outcome {
        let newest = self.backups.last().unwrap();
        let data = newest.keys().unwrap().data_prefix();
        let paths = ["buckets/my-bucket/some/where", "identity.txt", "."]
            .map(|name| self.path(name).display().to_string());
        let settings = [
            ("STORE", paths[0].as_str()),
            ("BUCKET", "my-bucket"),
            ("PREFIX", "some/where"),
            ("ENDPOINT", "https://s3.example.org"),
            ("IDENTITY", &paths[1]),
            ("SCRATCH", &paths[2]),
            ("TARGET", "pool/restored"),
            ("MANIFEST", &newest.key().unwrap()),
            ("BACKUP", data.trim_end_matches('/')),
        ];
        let mut script = script(title);
        for (name, value) in settings.iter().chain(changes) {
            script = set(&script, name, value);
        }
        let file = self.path("script.sh");
        fs::write(&file, script).unwrap();
        let stubs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recovery/stubs");
        let result = Command::new("bash")
            .arg(&file)
            .env("PATH", format!("{stubs}:{}", std::env::var("PATH").unwrap()))
            .env("ZFS_STATE", self.path("zfs"))
            .env("AWS_ROOT", self.path("buckets"))
            .env("AWS_COLD", self.path("cold"))
            .env("B3SUMS", self.path("b3sums"))
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&[result.stdout, result.stderr].concat()).into_owned();
        Outcome { ok: result.status.success(), output }
    }

    pub(crate) fn succeeds(&self, title: &str, changes: &[(&str, &str)]) -> String {
        let outcome = self.run(title, changes);
        assert!(outcome.ok, "{title}: {}", outcome.output);
        outcome.output
    }

    pub(crate) fn stops(&self, title: &str, because: &str) {
        let outcome = self.run(title, &[]);
        assert!(!outcome.ok, "{title} did not stop: {}", outcome.output);
        assert!(outcome.output.contains(because), "{title}: {}", outcome.output);
    }

    pub(crate) fn assert_restored(&self, backups: usize) {
        let snapshots = fs::read_to_string(self.path("zfs/snapshots")).unwrap_or_default();
        let guids: Vec<String> =
            self.backups[..backups].iter().map(|one| one.snapshot_guid.to_string()).collect();
        assert_eq!(snapshots.lines().collect::<Vec<_>>(), guids);
        let content = fs::read(self.path("zfs/content")).unwrap_or_default();
        let length: u64 = self.backups[..backups].iter().map(|one| one.stream_length).sum();
        assert!(
            content == self.streams[..usize::try_from(length).unwrap()],
            "other bytes were received than were sent"
        );
    }
}

fn with_offsets(mut parts: Vec<Part>) -> Vec<Part> {
    let mut offset = 0;
    for part in &mut parts {
        part.stream_offset = offset;
        offset += part.stream_length;
    }
    parts
}

fn manifest(
    id: BackupId,
    parent: Option<Parent>,
    meta: MetaObject,
    parts: Vec<Part>,
    recipient: &str,
) -> Manifest {
    Manifest {
        format: FORMAT,
        requires: Vec::new(),
        tool: Tool { name: "zfs-push-backups".to_owned(), version: "0.1.0".to_owned() },
        zfs: ZfsVersions::default(),
        repository: RepositoryId::from_bytes([7; 16]),
        id,
        source: SOURCE.to_owned(),
        task: None,
        dataset: DATASET.to_owned(),
        dataset_guid: None,
        snapshot: format!("s{}", id.level),
        snapshot_guid: id.snapshot_guid,
        createtxg: None,
        snapshot_created: None,
        committed: id.created,
        level: id.level,
        parent,
        send: SendInfo { flags: Vec::new(), raw: false, made: Made::Zfs },
        recipients: vec![recipient.to_owned()],
        compression: Compression::Zstd,
        tree_group: None,
        stream_length: parts.iter().map(|part| part.stream_length).sum(),
        meta,
        parts,
    }
}

pub(crate) fn run_tool(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|cause| panic!("these tests need {program}: {cause}"));
    let mut pipe = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || pipe.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{program} failed");
    output.stdout
}

pub(crate) fn scripts() -> Vec<(String, String)> {
    let text = recover_md();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let titled = |block: &str| {
        let title = block.lines().next().and_then(|line| line.strip_prefix("# recover: "));
        (title.unwrap_or_else(|| panic!("a script has no title: {block}")).to_owned(), block.to_owned())
    };
    blocks.map(titled).collect()
}

fn script(title: &str) -> String {
    scripts().into_iter().find(|(found, _)| found == title).unwrap_or_else(|| panic!("no script {title}")).1
}

/// Changes one setting where the script has it.
fn set(script: &str, name: &str, value: &str) -> String {
    let start = format!("{name}=\"");
    let lines = script
        .lines()
        .map(|line| if line.starts_with(&start) { format!("{name}=\"{value}\"") } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

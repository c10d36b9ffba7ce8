//! Records made up behind right checksums: a second writer of the format that `queue::spool::format` reads.
//! It is here and not there so that a change of the format by accident does not go unseen.

use queue::spool::{Disk, Folder};

/// Octets of a block: batches start on one.
pub const BLOCK: usize = 4096;
const BATCH_HEADER: usize = 56;
const RECORD_HEADER: usize = 24;
const BATCH_MAGIC: &[u8] = b"RBAT";
const CHECKPOINT_HEADER: usize = 44;
const CHUNK_HEADER: usize = 12;

fn number4(octets: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
}

fn put4(octets: &mut [u8], at: usize, number: u32) {
    octets[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// All of a file.
pub fn read<D: Disk>(disk: &D, folder: Folder, name: &str) -> Vec<u8> {
    let file = disk.open(folder, name).expect("it was listed");
    let octets = disk.len(&file).expect("it is open");
    let mut all = vec![0; usize::try_from(octets).expect("it is in memory")];
    disk.read_at(&file, 0, &mut all).expect("reading works");
    all
}

/// Writes all of a file, for good.
pub fn write<D: Disk>(disk: &mut D, folder: Folder, name: &str, octets: &[u8]) {
    let file = disk
        .open(folder, name)
        .or_else(|_| disk.create(folder, name));
    if let Ok(file) = file {
        // A disk that is full keeps what it has.
        let _ = disk.write_at(&file, 0, octets);
        let _ = disk.sync(&file);
        let _ = disk.sync_folder(folder);
    }
}

/// Puts `octet` at a place of a batch and makes all checksums right again; whether there was a batch.
pub fn forge(segment: &mut [u8], block: usize, at: usize, octet: u8) -> bool {
    let blocks = segment.len() / BLOCK;
    if blocks < 2 {
        return false;
    }
    let start = (1 + block % (blocks - 1)) * BLOCK;
    if !segment[start..].starts_with(BATCH_MAGIC) {
        return false;
    }
    // Generation and salt stand behind magic and version.
    let mut usage = [0; 16];
    usage.copy_from_slice(&segment[12..28]);
    let octets = number4(segment, start + 4) as usize;
    let span = (BATCH_HEADER + octets).min(segment.len() - start);
    let place = start + at % span;
    segment[place] = octet;
    seal_records(segment, start + BATCH_HEADER, start + span, usage);
    let records = crc32c::crc32c(&segment[start + BATCH_HEADER..start + span]);
    put4(segment, start + 8, records);
    let sum = checksum(usage, start, &segment[start..start + BATCH_HEADER - 4]);
    put4(segment, start + BATCH_HEADER - 4, sum);
    true
}

/// Puts `octet` at a place of a checkpoint and makes all checksums right again, as far as its lengths go.
pub fn forge_checkpoint(file: &mut [u8], at: usize, octet: u8) -> bool {
    if file.len() < CHECKPOINT_HEADER {
        return false;
    }
    let place = at % file.len();
    file[place] = octet;
    let mut before = crc32c::crc32c(&file[..CHECKPOINT_HEADER - 4]);
    put4(file, CHECKPOINT_HEADER - 4, before);
    let mut start = CHECKPOINT_HEADER;
    while start + CHUNK_HEADER <= file.len() {
        let length = number4(file, start) as usize;
        let behind = start + CHUNK_HEADER;
        if length > file.len() - behind {
            break;
        }
        let sum = crc32c::crc32c(&before.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &file[start..start + 8]);
        before = crc32c::crc32c_append(sum, &file[behind..behind + length]);
        put4(file, start + 8, before);
        start = behind + length;
    }
    true
}

fn checksum(usage: [u8; 16], offset: usize, octets: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&usage);
    let sum = crc32c::crc32c_append(sum, &(offset as u64).to_le_bytes());
    crc32c::crc32c_append(sum, octets)
}

fn seal_records(segment: &mut [u8], start: usize, end: usize, usage: [u8; 16]) {
    let mut at = start;
    while at + RECORD_HEADER <= end {
        let head = number4(segment, at) as usize;
        let tail = number4(segment, at + 4) as usize;
        let behind = at + RECORD_HEADER;
        if head > end - behind || tail > end - behind - head {
            return;
        }
        let head_sum = crc32c::crc32c(&segment[behind..behind + head]);
        put4(segment, at + 8, head_sum);
        let tail_sum = crc32c::crc32c(&segment[behind + head..behind + head + tail]);
        put4(segment, at + 12, tail_sum);
        let sum = checksum(usage, at, &segment[at..at + 20]);
        put4(segment, at + 20, sum);
        at = behind + head + tail;
    }
}

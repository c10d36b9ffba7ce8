//! Acts that execute something.

use super::{Target, Went, below, call, done, make, path};
use std::ffi::CStr;

pub(super) fn execute(program: &CStr) -> Went {
    let words = [
        c"sh".as_ptr(),
        c"-c".as_ptr(),
        c"exit 200".as_ptr(),
        std::ptr::null(),
    ];
    let none: [*const libc::c_char; 1] = [std::ptr::null()];
    let arguments = [
        program.as_ptr() as usize,
        words.as_ptr() as usize,
        none.as_ptr() as usize,
        0,
        0,
        0,
    ];
    done(libc::SYS_execve, arguments)
}

/// A program that needs nobody else, neither an interpreter nor a library, so that only what refuses the program itself
/// refuses it: it ends with 200, which is how an act ends that was done.
fn image() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEAD: u16 = 64;
    const PART: u16 = 56;
    let (machine, code): (u16, &[u8]) = if cfg!(target_arch = "x86_64") {
        // mov edi, 200; mov eax, exit_group; syscall
        (62, &[0xBF, 200, 0, 0, 0, 0xB8, 231, 0, 0, 0, 0x0F, 0x05])
    } else {
        // mov x0, 200; mov x8, exit_group; svc 0
        (
            183,
            &[
                0x00, 0x19, 0x80, 0xD2, 0xC8, 0x0B, 0x80, 0xD2, 0x01, 0x00, 0x00, 0xD4,
            ],
        )
    };
    let before = u64::from(HEAD + PART);
    let whole = before + code.len() as u64;
    let mut image = b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |image: &mut Vec<u8>, values: &[u16]| {
        image.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
    };
    let word = |image: &mut Vec<u8>, values: &[u32]| {
        image.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
    };
    let long = |image: &mut Vec<u8>, values: &[u64]| {
        image.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
    };
    // elf(5): the head of an executable file,
    half(&mut image, &[2, machine]);
    word(&mut image, &[1]);
    long(&mut image, &[BASE + before, u64::from(HEAD), 0]);
    word(&mut image, &[0]);
    half(&mut image, &[HEAD, PART, 1, 0, 0, 0]);
    // and its one part: loaded whole, read and executed.
    word(&mut image, &[1, 5]);
    long(&mut image, &[0, BASE, BASE, whole, whole, 0x1000]);
    image.extend_from_slice(code);
    image
}

fn put(fd: usize) -> Went {
    let image = image();
    let at = image.as_ptr() as usize;
    done(libc::SYS_write, [fd, at, image.len(), 0, 0, 0])
}

pub(super) fn execute_memory() -> Went {
    let fd = call(libc::SYS_memfd_create, [path(c"x"), 0, 0, 0, 0, 0])?;
    put(fd)?;
    let words = [c"x".as_ptr(), std::ptr::null()];
    let none: [*const libc::c_char; 1] = [std::ptr::null()];
    let flags = libc::AT_EMPTY_PATH.unsigned_abs() as usize;
    let arguments = [
        fd,
        path(c""),
        words.as_ptr() as usize,
        none.as_ptr() as usize,
        flags,
        0,
    ];
    done(libc::SYS_execveat, arguments)
}

/// Makes a program in the role's own folder, and executes it.
pub(super) fn execute_own(target: &Target) -> Went {
    let own = below(&target.own, "/image");
    let fd = make(&own, 0o700)?;
    put(fd)?;
    // What somebody has open for writing is not executed.
    done(libc::SYS_close, [fd, 0, 0, 0, 0, 0])?;
    execute(&own)
}

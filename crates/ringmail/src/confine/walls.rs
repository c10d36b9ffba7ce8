//! The walls of one role, raised in order by the role itself. What cannot be had here is said, and the others stand
//! all the same: `sandbox = "required"` lets the supervisor refuse that.

use super::{Layer, Layers, Missing, Reach, calls, limits};
use crate::drive::birth::Birth;
use crate::drive::folders;
use crate::event::{self, Event};
use crate::ipc::spawn::{FromRole, Role};
use std::io;
use std::path::{Path, PathBuf};
use sys::sandbox::calls::Filter;
use sys::sandbox::spaces::{self, Bound, Spaces};
use sys::sandbox::{self, Limited, files};

/// The version of Landlock from which on all of our rules are enforced (Linux 6.12): files, TCP ports, devices,
/// signals and abstract sockets.
const LANDLOCK_WHOLE: u32 = 6;

/// Walls that stand; the last, the filter of system calls, is still open.
pub struct Walls {
    layers: Layers,
    filter: Option<Filter>,
    stand: Vec<Layer>,
    missing: Vec<Missing>,
    absent: Vec<(PathBuf, io::Error)>,
}

impl Walls {
    /// Raises all but the last: before the first thread. Folders that the role keeps are made where they are
    /// missing; those that cannot be had are left out.
    pub fn raise(role: Role, reach: &Reach, layers: Layers) -> io::Result<Self> {
        sandbox::private_files();
        let mut walls = Self {
            layers,
            filter: Some(Filter::new(calls::of(role, reach).map(|row| row.call))?),
            stand: Vec::new(),
            missing: Vec::new(),
            absent: Vec::new(),
        };
        if Layer::Memory.is_of(role) {
            walls.raise_one(Layer::Memory, sandbox::lock_memory);
        }
        let kept = walls.present(&reach.folders, folders::make);
        let passed = walls.present(&reach.sockets, |path| std::fs::metadata(path).map(drop));
        let spaces = spaces(&kept, &passed, reach.has_network());
        if Layer::Namespaces.is_of(role) {
            let possible = layers
                .has(Layer::Namespaces)
                .then(|| spaces::can_enter(&spaces));
            if matches!(possible, Some(Ok(()))) {
                // Half of it would be neither here nor there.
                spaces::enter(&spaces)?;
            }
            walls.raise_one(Layer::Namespaces, || possible.unwrap_or(Ok(())));
        }
        walls.raise_one(Layer::Privileges, || {
            sandbox::no_new_privileges()?;
            sandbox::hide()
        });
        walls.raise_one(Layer::Capabilities, sandbox::drop_capabilities);
        walls.raise_one(Layer::Limits, || limit(role));
        walls.raise_one(Layer::Landlock, || {
            let ports: Vec<u16> = reach.ports.iter().copied().collect();
            let version = files::version();
            if version == 0 {
                return Err(io::Error::other("this kernel has none, or it is switched off"));
            }
            files::confine(kept.iter().copied(), &ports)?;
            if version < LANDLOCK_WHOLE {
                return Err(io::Error::other(format!(
                    "this kernel has version {version} of it: what it knows is enforced, but not all that {LANDLOCK_WHOLE} has"
                )));
            }
            Ok(())
        });
        Ok(walls)
    }

    /// Closes the last wall, once every thread that the role will have runs, and tells the supervisor what stands; gives
    /// that.
    pub fn close(mut self, birth: &Birth) -> Vec<Layer> {
        if self.layers.has(Layer::Limits) {
            // No thread and no process is started from here on. Where even this cannot be set, the filter refuses
            // them all the same.
            let _ = sandbox::limit(Limited::Nproc, 0);
        }
        if let Some(filter) = self.filter.take() {
            self.raise_one(Layer::Seccomp, || filter.close(FromRole::TRAPPED));
        }
        for (path, error) in &self.absent {
            event::say(&Event::FolderAbsent {
                folder: path.display().to_string(),
                cause: error.to_string(),
            });
        }
        birth.tell(&FromRole::Confined {
            stand: self.stand.clone(),
            missing: self.missing,
            absent: self.absent.into_iter().map(|(path, _)| path).collect(),
        });
        self.stand
    }

    /// Those of the folders that can be had.
    fn present<'a>(
        &mut self,
        folders: impl IntoIterator<Item = &'a PathBuf>,
        have: impl Fn(&Path) -> io::Result<()>,
    ) -> Vec<&'a Path> {
        let mut present = Vec::new();
        for folder in folders {
            match have(folder) {
                Ok(()) => present.push(folder.as_path()),
                Err(error) => self.absent.push((folder.clone(), error)),
            }
        }
        present
    }

    fn raise_one(&mut self, layer: Layer, raise: impl FnOnce() -> io::Result<()>) {
        if !self.layers.has(layer) {
            return;
        }
        match raise() {
            Ok(()) => self.stand.push(layer),
            Err(error) => self.missing.push(Missing {
                layer,
                cause: error.to_string(),
            }),
        }
    }
}

/// What is seen: folders that are kept, and those that sockets lie in, which cannot be written to.
fn spaces(kept: &[&Path], passed: &[&Path], network: bool) -> Spaces {
    let bound = |path: &&Path, writable| Bound {
        path: path.to_path_buf(),
        writable,
    };
    let is_kept = |path: &&&Path| kept.iter().any(|kept| path.starts_with(kept));
    let kept_ones = kept.iter().map(|path| bound(path, true));
    let passed_ones = passed.iter().filter(|path| !is_kept(path));
    let mut folders: Vec<Bound> = kept_ones
        .chain(passed_ones.map(|path| bound(path, false)))
        .collect();
    // What lies in another is bound into it, after it.
    folders.sort();
    Spaces { folders, network }
}

/// Sets those limits that can be set before the last wall. Where the log is a plain file its size is no matter of
/// the role.
fn limit(role: Role) -> io::Result<()> {
    let later = |of: Limited| {
        matches!(of, Limited::Nproc) || (matches!(of, Limited::Fsize) && sandbox::logs_to_a_file())
    };
    let now = limits::of(role);
    let mut now = now.iter().filter(|(of, _)| !later(*of));
    now.try_for_each(|(of, most)| sandbox::limit(*of, *most))
}

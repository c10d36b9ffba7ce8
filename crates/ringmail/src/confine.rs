//! What each role may do once it is closed, and the walls that see to it. The tables here are the one source: the
//! walls, `ringmail status`, docs/confinement.md and the tests from inside are made from them.
//!
//! Walls are raised in one order, by the role itself, after its first orders and before anything else is heard:
//! what it may reach follows from the configuration (`reach`), which calls it may make from its duty (`calls`).

pub mod accounts;
pub mod calls;
pub mod limits;
pub mod page;
pub mod reach;
pub mod users;
pub mod walls;

pub use reach::Reach;
pub use walls::Walls;

use crate::ipc::spawn::Role;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A layer of confinement: each refuses by itself, whether the others stand or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Layer {
    /// No memory of it is ever written to a disk.
    Memory,
    /// No program gains privileges by its file, and nobody of the same uid looks in.
    Privileges,
    /// Namespaces and a root of its own.
    Namespaces,
    /// No capability, none to be had.
    Capabilities,
    /// Bounds of files, processes and memory.
    Limits,
    /// Folders and TCP ports.
    Landlock,
    /// System calls and their arguments.
    Seccomp,
}

impl Layer {
    /// All of them, in the order in which they are raised.
    pub const ALL: [Layer; 7] = [
        Layer::Memory,
        Layer::Privileges,
        Layer::Namespaces,
        Layer::Capabilities,
        Layer::Limits,
        Layer::Landlock,
        Layer::Seccomp,
    ];

    /// Its name in `status` and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Layer::Memory => "memory",
            Layer::Privileges => "no_new_privs",
            Layer::Namespaces => "namespaces",
            Layer::Capabilities => "capabilities",
            Layer::Limits => "limits",
            Layer::Landlock => "landlock",
            Layer::Seccomp => "seccomp",
        }
    }

    /// Whether a role is meant to have it. admin asks the kernel who is at the other end of the control socket, and
    /// in a user namespace everybody but its own user would show as nobody. Secrets that outlive a session are with keys.
    pub const fn is_of(self, role: Role) -> bool {
        match self {
            Layer::Memory => matches!(role, Role::Keys),
            Layer::Namespaces => !matches!(role, Role::Admin),
            _ => true,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A layer that should stand and does not, or not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which.
    pub layer: Layer,
    /// Why not.
    pub cause: String,
}

/// Which layers are raised at all: all of them, but where a test shows what one of them is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers(u8);

impl Layers {
    /// Every layer.
    pub const ALL: Layers = Layers(u8::MAX);

    /// These and no others: for tests only.
    pub fn only(layers: &[Layer]) -> Self {
        Self(layers.iter().fold(0, |set, layer| set | 1 << *layer as u8))
    }

    /// Whether it is one of them.
    pub const fn has(self, layer: Layer) -> bool {
        self.0 & (1 << layer as u8) != 0
    }
}

//! The program without a wall around any role: for the bench, which says what the walls cost. Nobody should run it.

use ringmail::confine::Layers;

fn main() -> std::process::ExitCode {
    ringmail::cli::main(Layers::only(&[]))
}

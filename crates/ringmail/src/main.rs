//! The program. As a role it is started by its own supervisor; otherwise it is a command.

fn main() -> std::process::ExitCode {
    ringmail::cli::main(ringmail::confine::Layers::ALL)
}

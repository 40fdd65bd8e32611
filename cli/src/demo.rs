#[derive(clap::Args)]
pub struct Arguments {}
pub fn run(_: &Arguments) -> crate::Outcome {
    Ok(())
}

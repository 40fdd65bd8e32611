//! Which moves this processor has for copies.
//!
//! Layer 2, no unsafe code.

/// Which moves this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wide {
    /// 64-byte moves through registers that legacy code never touches.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 32-byte moves.
    #[cfg(target_arch = "x86_64")]
    Avx,
    /// 16-byte moves, or words.
    Baseline,
}

impl Wide {
    /// Asks the processor.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vl")
            {
                return Self::Avx512;
            }
            if std::is_x86_feature_detected!("avx") {
                return Self::Avx;
            }
        }
        Self::Baseline
    }

    /// Every kind this processor has, for tests and benchmarks that compare them.
    pub fn available() -> Vec<Self> {
        match Self::detect() {
            Self::Baseline => vec![Self::Baseline],
            #[cfg(target_arch = "x86_64")]
            Self::Avx => vec![Self::Baseline, Self::Avx],
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => vec![Self::Baseline, Self::Avx, Self::Avx512],
        }
    }
}

//! Receivers whose deliveries borrow them: one is out at a time, and a later call gives an earlier one back.

/// Makes the state of such a receiver: the cell that holds receiver and delivery, and how both are reached.
#[macro_export]
macro_rules! lending {
    ($state:ident, $cell:ident, $loan:ident, $receiver:ty, $delivery:ident, $what:literal) => {
        /// What is borrowed of a receiver; nothing once it was decided about.
        struct $loan<'r>(Option<$delivery<'r>>);

        self_cell::self_cell!(
            struct $cell {
                owner: self_cell::MutBorrow<$crate::watched::Watched<$receiver>>,

                #[not_covariant]
                dependent: $loan,
            }
        );

        /// A receiver, free or with a delivery that is out.
        struct $state {
            free: Option<$crate::watched::Watched<$receiver>>,
            out: Option<($cell, u64)>,
            numbers: u64,
            descriptor: Option<i32>,
            /// As it was when the receiver was armed last, for while it is lent.
            uses_io_uring: bool,
        }

        impl $state {
            fn new(receiver: $receiver) -> Self {
                Self {
                    free: Some($crate::watched::Watched::new(receiver)),
                    out: None,
                    numbers: 0,
                    descriptor: None,
                    uses_io_uring: false,
                }
            }

            /// The descriptor. Only making it gives back what is out.
            fn fileno(&mut self) -> Result<i32, $crate::failure::Failure> {
                if let Some(descriptor) = self.descriptor {
                    return Ok(descriptor);
                }
                let descriptor = self.free()?.fileno()?;
                self.descriptor = Some(descriptor);
                Ok(descriptor)
            }

            /// Has the kernel make the descriptor readable; what was out goes back.
            fn use_io_uring(&mut self) -> Result<(), $crate::failure::Failure> {
                self.free()?.use_io_uring()?;
                self.uses_io_uring = false;
                Ok(())
            }

            /// Says whether there may be something; otherwise the descriptor becomes readable when there is. What was out
            /// goes back.
            fn arm(&mut self) -> Result<bool, $crate::failure::Failure> {
                let watched = self.free()?;
                let ready = watched.arm()?;
                let uses = watched.uses_io_uring();
                self.uses_io_uring = uses;
                Ok(ready)
            }

            /// The receiver; what was out goes back.
            fn free(
                &mut self,
            ) -> Result<&mut $crate::watched::Watched<$receiver>, $crate::failure::Failure> {
                if let Some((cell, _)) = self.out.take() {
                    self.free = Some(cell.into_owner().into_inner());
                }
                self.free.as_mut().ok_or_else(|| {
                    pyo3::exceptions::PyValueError::new_err(concat!(
                        "this ",
                        $what,
                        " was lost in an earlier error: make it again"
                    ))
                    .into()
                })
            }

            /// Lends out what a call takes; `see` looks at it.
            fn lend<E, S>(
                &mut self,
                take: impl for<'r> FnOnce(&'r mut $receiver) -> Result<$delivery<'r>, E>,
                see: impl FnOnce(&$delivery<'_>) -> S,
            ) -> Result<Result<(u64, S), E>, $crate::failure::Failure> {
                // Reached before it is moved, so that a broken one is refused and not lost.
                self.free()?.get()?;
                let Some(watched) = self.free.take() else {
                    return Err($crate::failure::Failure::timed_out($what));
                };
                let owner = self_cell::MutBorrow::new(watched);
                let cell =
                    $cell::try_new_or_recover(owner, |owner| match owner.borrow_mut().get() {
                        Ok(receiver) => {
                            take(receiver).map(|taken| $loan(Some(taken))).map_err(Some)
                        }
                        Err(_) => Err(None),
                    });
                match cell {
                    Ok(cell) => {
                        let seen = cell.with_dependent(|_, loan| loan.0.as_ref().map(see));
                        self.numbers += 1;
                        self.out = Some((cell, self.numbers));
                        match seen {
                            Some(seen) => Ok(Ok((self.numbers, seen))),
                            None => Err($crate::failure::Failure::timed_out($what)),
                        }
                    }
                    Err((owner, error)) => {
                        self.free = Some(owner.into_inner());
                        match error {
                            Some(error) => Ok(Err(error)),
                            None => Err($crate::failure::Failure::timed_out($what)),
                        }
                    }
                }
            }

            /// Decides about the delivery of a number, if it is still out.
            fn decide<R>(
                &mut self,
                number: u64,
                decide: impl FnOnce($delivery<'_>) -> R,
            ) -> Result<Option<R>, $crate::failure::Failure> {
                let decided = match &mut self.out {
                    Some((cell, out)) if *out == number => {
                        cell.with_dependent_mut(|_, loan| loan.0.take().map(decide))
                    }
                    _ => return Ok(None),
                };
                self.free()?;
                Ok(decided)
            }
        }
    };
}

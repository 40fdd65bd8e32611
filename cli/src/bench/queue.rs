//! A message queue as a contender: two queues, one each way, both ends spinning.

use super::channel::{Channel, End, Place};
use crate::failure::Failure;
use slipring::{
    queue::{Delivery, Receiver, ReceiverOptions, Sender, SenderOptions},
    Queue, Strategy,
};
use std::io;

pub struct Queues {
    sender: Sender,
    receiver: Receiver,
}

impl Queues {
    pub fn open(place: &Place<'_>) -> io::Result<Self> {
        let size = place.load.size;
        let depth = (place.capacity / (size as u64 + 8)).clamp(64, 1 << 17) / 2;
        let (out, inward) = place.ways();
        let [outward, inward] = [out, inward].map(|path| -> Result<Queue, Failure> {
            Ok(match place.end {
                End::First => Queue::builder(path)
                    .depth(depth as u32)
                    .max_message_bytes(size as u32)
                    .create()?,
                End::Second => Queue::open(path)?,
            })
        });
        let open = || -> Result<(Sender, Receiver), Failure> {
            let sender = outward?.sender_with(SenderOptions::new().strategy(Strategy::Spin))?;
            let receiver =
                inward?.receiver_with(ReceiverOptions::new().strategy(Strategy::Spin))?;
            Ok((sender, receiver))
        };
        let (sender, receiver) =
            open().map_err(|failure| io::Error::other(failure.text().to_owned()))?;
        Ok(Self { sender, receiver })
    }

    #[inline(always)]
    fn next(&mut self) -> io::Result<Delivery<'_>> {
        self.receiver.receive().map_err(io::Error::other)
    }
}

impl Channel for Queues {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.sender.send(message).map_err(io::Error::other)?;
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let delivery = self.next()?;
        let shown = show(&delivery);
        delivery.ack().map_err(io::Error::other)?;
        Ok(shown)
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        let delivery = self.receiver.receive().map_err(io::Error::other)?;
        let goes_on = !last(&delivery);
        if goes_on {
            self.sender.send(&delivery).map_err(io::Error::other)?;
        }
        delivery.ack().map_err(io::Error::other)?;
        Ok(goes_on)
    }
}

//! Datagrams in the loop: each socket is one more thing that gets ready, and takes no place among the connections.

use super::EventLoop;
use crate::model::Answering;
use crate::model::responder::{Responder, SHARE};
use crate::poller::{Poller, Ready};
use std::os::fd::AsFd;

/// A socket that takes datagrams and what is known of it.
pub(super) struct Post {
    answering: Answering,
    /// A datagram waits, as far as is known.
    pub ready: bool,
    /// The poller watches it.
    watched: bool,
}

impl Post {
    pub(super) fn new(answering: Answering) -> Post {
        Post {
            answering,
            ready: false,
            watched: true,
        }
    }
}

impl<P: Poller> EventLoop<P> {
    /// Answers the datagrams that wait, up to a number per socket.
    pub(super) fn answer_datagrams(&mut self) {
        for index in 0..self.posts.len() {
            let post = &mut self.posts[index];
            if !post.ready {
                continue;
            }
            let answering = &post.answering;
            match self.responder.answer(answering, SHARE, &mut self.worker) {
                Ok(more) => post.ready = more,
                Err(error) => {
                    Responder::give_up(answering, &error);
                    post.ready = false;
                    self.unwatch(index);
                }
            }
        }
    }

    /// Answers what has come so far, and hears no more.
    pub(super) fn stop_answering(&mut self) {
        for index in 0..self.posts.len() {
            let answering = &self.posts[index].answering;
            self.responder.finish(answering, &mut self.worker);
            self.unwatch(index);
        }
        self.posts.clear();
    }

    fn unwatch(&mut self, index: usize) {
        let post = &mut self.posts[index];
        if !std::mem::take(&mut post.watched) {
            return;
        }
        let (fd, key) = (post.answering.socket.as_fd(), self.first_post_key + index);
        let result = self.poller.change(fd, key, Ready::READABLE, Ready::NONE);
        if let Err(error) = result {
            log::warn!("a socket for datagrams cannot be unwatched: {error}");
        }
    }
}

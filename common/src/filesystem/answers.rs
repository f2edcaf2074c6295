//! Bounds of a store's answers. `object_store` keeps the whole of an answer that is no object, such as a page of a listing, an
//! error or credentials, before it looks at it, and what answers may send without an end.
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use object_store::{ClientOptions, GetOptions};

/// The longest answer, in MiB: a page has a thousand keys of up to 1,024 bytes, each of which may be written with six.
const MAX_ANSWER: u64 = 8;
/// The longest one that says why nothing was done.
const MAX_ERROR: u64 = 1;

/// Marks the request for an object, which comes in pieces: its reader has a bound of its own.
#[derive(Clone, Copy, Debug)]
struct InPieces;

/// To get an object of any length.
pub(super) fn in_pieces() -> GetOptions {
    let mut options = GetOptions::default();
    options.extensions.insert(InPieces);
    options
}

/// Makes clients that take no longer answers than that, but objects.
#[derive(Debug)]
pub(super) struct BoundedConnector;

impl HttpConnector for BoundedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Bounded(client)))
    }
}

#[derive(Debug)]
struct Bounded(HttpClient);

#[tonic::async_trait]
impl HttpService for Bounded {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_in_pieces = request.extensions().get::<InPieces>().is_some();
        let (parts, body) = self.0.execute(request).await?.into_parts();
        let limit = match parts.status.is_success() {
            true if is_in_pieces => return Ok(HttpResponse::from_parts(parts, body)),
            true => MAX_ANSWER,
            false => MAX_ERROR,
        };
        let body = BoundedBody { body, left: limit << 20, limit, status: parts.status.as_u16() };
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// A body that ends in an error where it is too long. It does not pass on how long it is said to be: as much memory would be taken.
struct BoundedBody {
    body: HttpResponseBody,
    /// Bytes.
    left: u64,
    /// MiB.
    limit: u64,
    status: u16,
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                let too_long = TooLong { status: self.status, limit: self.limit };
                // Of a kind that is not tried again.
                return Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Decode, too_long))));
            };
            self.left = left;
        }
        Poll::Ready(frame)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the answer of the store ({status}) is longer than {limit} MiB; does s3.endpoint name a store?")]
struct TooLong {
    status: u16,
    limit: u64,
}

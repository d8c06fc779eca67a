// SPDX-License-Identifier: Apache-2.0
//! Tasks that any thread of the pool may go on with: tokio_server PORT BACKEND_PORT gather|sequence.
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

fn truth_of(head: &[u8]) -> String {
    String::from_utf8_lossy(head)
        .lines()
        .find_map(|line| line.strip_prefix("X-Truth: ").map(str::to_string))
        .unwrap_or_default()
}

async fn call(backend: u16, path: &str, truth: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", backend)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: backend\r\nX-Truth: {truth}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();

    tokio::task::yield_now().await;
    stream.write_all(request.as_bytes()).await?;
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

async fn serve(mut stream: TcpStream, backend: u16, gather: bool) -> io::Result<()> {
    let mut input = Vec::new();

    loop {
        let length = loop {
            if let Some(length) = head_length(&input) {
                break length;
            }
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        };
        let truth = truth_of(&input[..length]);
        input.drain(..length);

        let other = truth.clone();
        let second = async move { call(backend, "/second", &other).await };
        if gather {
            let second = tokio::spawn(second);
            call(backend, "/first", &truth).await?;
            second.await.map_err(io::Error::other)??;
        } else {
            call(backend, "/first", &truth).await?;
            second.await?;
        }
        let answer = format!("HTTP/1.1 200 OK\r\nX-Truth: {truth}\r\nContent-Length: {}\r\n\r\n{truth}\n", truth.len() + 1);
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let (port, backend) = (arguments[1].parse().unwrap(), arguments[2].parse().unwrap());
    let gather = arguments[3] == "gather";

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream, backend, gather));
        }
    })
}

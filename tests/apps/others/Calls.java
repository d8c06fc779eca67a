// SPDX-License-Identifier: Apache-2.0
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.CompletableFuture;

/** What the Java services do for a request: two calls, in the way that is asked for. */
final class Calls {
	private final String way;
	private final String backend;
	private final HttpClient client = HttpClient.newHttpClient();

	Calls(String way, int port) {
		this.way = way;
		this.backend = "http://127.0.0.1:" + port;
	}

	byte[] serve(String truth) throws Exception {
		if (way.equals("client"))
			return (get("/first", truth).join() + get("/second", truth).join()).getBytes();
		if (way.equals("gather")) {
			CompletableFuture<String> first = get("/first", truth);
			return first.thenCombine(get("/second", truth), String::concat).join().getBytes();
		}
		return (connect("/first", truth) + connect("/second", truth)).getBytes();
	}

	private CompletableFuture<String> get(String path, String truth) {
		HttpRequest request = HttpRequest.newBuilder(URI.create(backend + path)).version(HttpClient.Version.HTTP_1_1)
				.header("X-Truth", truth).build();

		return client.sendAsync(request, HttpResponse.BodyHandlers.ofString()).thenApply(HttpResponse::body);
	}

	private String connect(String path, String truth) throws IOException {
		HttpURLConnection connection = (HttpURLConnection) URI.create(backend + path).toURL().openConnection();

		connection.setRequestProperty("X-Truth", truth);
		try (InputStream in = connection.getInputStream()) {
			return new String(in.readAllBytes());
		}
	}
}

// SPDX-License-Identifier: Apache-2.0
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The JDK's own server: JdkServer PORT BACKEND_PORT WAY EXECUTOR. In the executor "inner" each request is handed to one more
 * pool, whose first job is slow: it is at work long after the others have passed it.
 */
public final class JdkServer {
	private static final AtomicInteger requests = new AtomicInteger();

	private static ExecutorService executor(String kind) {
		switch (kind) {
		case "cached":
			return Executors.newCachedThreadPool();
		case "stealing":
			return new ForkJoinPool(16);
		default:
			return Executors.newFixedThreadPool(16);
		}
	}

	private static void answer(HttpExchange exchange, Calls calls, boolean slow) {
		try {
			String truth = exchange.getRequestHeaders().getFirst("X-Truth");

			if (slow && requests.getAndIncrement() == 0)
				Thread.sleep(1000);

			byte[] body = calls.serve(truth);

			exchange.getResponseHeaders().set("X-Truth", truth);
			exchange.sendResponseHeaders(200, body.length);
			exchange.getResponseBody().write(body);
			exchange.close();
		} catch (Exception e) {
			e.printStackTrace();
		}
	}

	public static void main(String[] args) throws IOException {
		HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 256);
		Calls calls = new Calls(args[2], Integer.parseInt(args[1]));
		boolean inner = args[3].equals("inner");
		ExecutorService pool = inner ? Executors.newFixedThreadPool(16) : null;

		server.createContext("/", exchange -> {
			if (inner)
				pool.execute(() -> answer(exchange, calls, true));
			else
				answer(exchange, calls, args[3].equals("slow"));
		});
		server.setExecutor(executor(args[3]));
		server.start();
		Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(0)));
	}
}

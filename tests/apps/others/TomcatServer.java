// SPDX-License-Identifier: Apache-2.0
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.file.Files;
import java.util.logging.LogManager;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;

/** Tomcat with its own connector and threads: TomcatServer PORT BACKEND_PORT WAY. */
public final class TomcatServer {
	public static void main(String[] args) throws Exception {
		LogManager.getLogManager().reset();

		Tomcat tomcat = new Tomcat();
		Calls calls = new Calls(args[2], Integer.parseInt(args[1]));
		String directory = Files.createTempDirectory(java.nio.file.Path.of("."), "tomcat").toAbsolutePath().toString();

		tomcat.setBaseDir(directory);

		Connector connector = new Connector();

		connector.setProperty("address", "127.0.0.1");
		connector.setPort(Integer.parseInt(args[0]));
		connector.setProperty("maxKeepAliveRequests", "-1");
		tomcat.setConnector(connector);

		Context context = tomcat.addContext("", directory);

		Tomcat.addServlet(context, "calls", new HttpServlet() {
			@Override
			protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
				String truth = request.getHeader("X-Truth");

				response.setHeader("X-Truth", truth);
				try {
					byte[] body = calls.serve(truth);

					response.setContentLength(body.length);
					response.getOutputStream().write(body);
				} catch (Exception e) {
					throw new IOException(e);
				}
			}
		});
		context.addServletMappingDecoded("/*", "calls");
		tomcat.start();
		Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(0)));
		tomcat.getServer().await();
	}
}

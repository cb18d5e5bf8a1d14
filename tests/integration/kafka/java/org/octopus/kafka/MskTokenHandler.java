package org.octopus.kafka;

import java.io.IOException;
import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;

import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.auth.SaslExtensionsCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerExtensionsValidatorCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerTokenCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * For tests only: accepts the tokens that clients make for Amazon MSK, as far as one can without Amazon.
 *
 * <p>Such a token is a URL that asks MSK for kafka-cluster:Connect, presigned with Signature Version 4, in base64url. Its
 * signature is computed anew with the secret of the access key it names; keys stand in the file that the JAAS option
 * {@code keys} names, one a line: ACCESS_KEY SECRET_KEY PRINCIPAL. The file is read at each login, so that keys come and
 * go while the broker runs.
 */
public final class MskTokenHandler implements AuthenticateCallbackHandler {
    private static final Pattern HOST = Pattern.compile("kafka\\.([a-z0-9-]+)\\.amazonaws\\.com");
    private static final DateTimeFormatter TIME =
        DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);
    private static final Duration CLOCK_SKEW = Duration.ofMinutes(5);
    private static final int MOST_SECONDS = 900;
    private static final Set<String> UNSIGNED = Set.of("X-Amz-Signature", "User-Agent");

    private Path keys;

    /** Why a token is not accepted. */
    private static final class Refused extends Exception {
        private static final long serialVersionUID = 1L;

        Refused(String reason) {
            super(reason);
        }
    }

    private record Key(String secret, String principal) { }

    private record Token(String value, String principalName, Long startTimeMs, long lifetimeMs)
        implements OAuthBearerToken {
        @Override
        public Set<String> scope() {
            return Set.of();
        }
    }

    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {
        for (AppConfigurationEntry entry : entries) {
            Object named = entry.getOptions().get("keys");
            if (named != null) {
                keys = Path.of(named.toString());
            }
        }
        if (keys == null) {
            throw new IllegalArgumentException("the JAAS option `keys` must name the file of keys");
        }
    }

    @Override
    public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        for (Callback callback : callbacks) {
            if (callback instanceof OAuthBearerValidatorCallback asked) {
                try {
                    asked.token(validate(asked.tokenValue()));
                } catch (Refused refused) {
                    asked.error("invalid_token: " + refused.getMessage(), null, null);
                }
            } else if (callback instanceof OAuthBearerTokenCallback asked) {
                asked.token(null);  // this broker logs in nowhere
            } else if (!(callback instanceof OAuthBearerExtensionsValidatorCallback
                || callback instanceof SaslExtensionsCallback)) {
                throw new UnsupportedCallbackException(callback);
            }
        }
    }

    private Token validate(String value) throws Refused {
        URI url = decode(value);
        Matcher host = HOST.matcher(String.valueOf(url.getHost()));
        if (!"https".equals(url.getScheme()) || !host.matches() || url.getPort() != -1 || !"/".equals(url.getPath())) {
            throw new Refused("it is not for MSK");
        }
        TreeMap<String, String> query = query(url);
        require(query, "Action", "kafka-cluster:Connect");
        require(query, "X-Amz-Algorithm", "AWS4-HMAC-SHA256");
        require(query, "X-Amz-SignedHeaders", "host");

        Instant begin = time(query);
        Instant end = begin.plusSeconds(seconds(query));
        Instant now = Instant.now();
        if (begin.isAfter(now.plus(CLOCK_SKEW))) {
            throw new Refused("it is from the future");
        }
        if (!end.isAfter(now)) {
            throw new Refused("it expired at " + end);
        }
        // ACCESS_KEY/DATE/REGION/SERVICE/aws4_request
        String[] credential = get(query, "X-Amz-Credential").split("/");
        String date = get(query, "X-Amz-Date").substring(0, 8);
        if (credential.length != 5 || !credential[1].equals(date) || !credential[2].equals(host.group(1))
            || !credential[3].equals("kafka-cluster") || !credential[4].equals("aws4_request")) {
            throw new Refused("its credential is for something else");
        }
        Key key = find(credential[0]);
        if (key == null) {
            throw new Refused("its access key is unknown");
        }
        byte[] expected = sign(key.secret(), credential, query, url.getHost());
        byte[] shown = get(query, "X-Amz-Signature").getBytes(StandardCharsets.UTF_8);
        if (!MessageDigest.isEqual(expected, shown)) {
            throw new Refused("its signature is wrong");
        }
        return new Token(value, key.principal(), begin.toEpochMilli(), end.toEpochMilli());
    }

    private static URI decode(String value) throws Refused {
        try {
            return URI.create(new String(Base64.getUrlDecoder().decode(value), StandardCharsets.UTF_8));
        } catch (IllegalArgumentException error) {
            throw new Refused("it is no URL in base64url");
        }
    }

    private static TreeMap<String, String> query(URI url) throws Refused {
        TreeMap<String, String> found = new TreeMap<>();
        for (String part : String.valueOf(url.getRawQuery()).split("&")) {
            String[] pair = part.split("=", 2);
            String name = URLDecoder.decode(pair[0], StandardCharsets.UTF_8);
            String value = pair.length == 2 ? URLDecoder.decode(pair[1], StandardCharsets.UTF_8) : "";
            if (found.put(name, value) != null) {
                throw new Refused("it has " + name + " twice");
            }
        }
        return found;
    }

    private static String get(Map<String, String> query, String name) throws Refused {
        String value = query.get(name);
        if (value == null) {
            throw new Refused("it has no " + name);
        }
        return value;
    }

    private static void require(Map<String, String> query, String name, String wanted) throws Refused {
        if (!get(query, name).equals(wanted)) {
            throw new Refused("its " + name + " is not " + wanted);
        }
    }

    private static Instant time(Map<String, String> query) throws Refused {
        try {
            return TIME.parse(get(query, "X-Amz-Date"), Instant::from);
        } catch (DateTimeParseException error) {
            throw new Refused("its X-Amz-Date is no time");
        }
    }

    private static int seconds(Map<String, String> query) throws Refused {
        try {
            int seconds = Integer.parseInt(get(query, "X-Amz-Expires"));
            if (seconds > 0 && seconds <= MOST_SECONDS) {
                return seconds;
            }
        } catch (NumberFormatException error) {
            // said below
        }
        throw new Refused("its X-Amz-Expires is not within 1 to " + MOST_SECONDS + " s");
    }

    private Key find(String accessKey) {
        try {
            for (String line : Files.readAllLines(keys)) {
                String[] words = line.trim().split("\\s+");
                if (words.length == 3 && words[0].equals(accessKey)) {
                    return new Key(words[1], words[2]);
                }
            }
        } catch (IOException error) {
            throw new IllegalStateException(keys + " cannot be read", error);
        }
        return null;
    }

    private static byte[] sign(String secret, String[] credential, TreeMap<String, String> query, String host) {
        String canonicalQuery = query.entrySet().stream()
            .filter(entry -> !UNSIGNED.contains(entry.getKey()))
            .map(entry -> encode(entry.getKey()) + "=" + encode(entry.getValue()))
            .collect(Collectors.joining("&"));
        String request = String.join("\n", "GET", "/", canonicalQuery, "host:" + host, "", "host", sha256(""));
        String scope = String.join("/", credential[1], credential[2], credential[3], credential[4]);
        String text = String.join("\n", "AWS4-HMAC-SHA256", query.get("X-Amz-Date"), scope, sha256(request));
        byte[] key = ("AWS4" + secret).getBytes(StandardCharsets.UTF_8);
        for (int word = 1; word < credential.length; word++) {
            key = hmac(key, credential[word]);
        }
        return HexFormat.of().formatHex(hmac(key, text)).getBytes(StandardCharsets.UTF_8);
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
    }

    private static String sha256(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    private static byte[] hmac(byte[] key, String text) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public void close() {
        // holds nothing
    }
}

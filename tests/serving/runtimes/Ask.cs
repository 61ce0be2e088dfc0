// Asks with .NET's own client: as it is, and with an offer of HTTP/2 that may be declined.
using System;
using System.Net;
using System.Net.Http;
using System.Text;

using var client = new HttpClient();
foreach (var version in new[] { HttpVersion.Version11, HttpVersion.Version20 })
{
    using var request = new HttpRequestMessage(HttpMethod.Post, args[0])
    {
        Version = version,
        VersionPolicy = HttpVersionPolicy.RequestVersionOrLower,
        Content = new StringContent(args[1], Encoding.UTF8, "application/json"),
    };
    request.Headers.ExpectContinue = version == HttpVersion.Version20;
    using var answer = await client.SendAsync(request);
    Console.WriteLine($"{(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
}

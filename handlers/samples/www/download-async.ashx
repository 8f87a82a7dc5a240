<%@ WebHandler Class="samples::DownloadAsync, download" %>
